"""Shows how far the runs in a folder are: python -m llmrec.status runs."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.command import run_command
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.training.run_folder import RunFolder

HELP = """\
Shows how far the runs in a folder are, also while other processes work on them.

  python -m llmrec.status                    # LLMREC_RUNS, or runs
  python -m llmrec.status runs/games         # those below a folder

A line per run: done, running, queued, failed, skipped or interrupted; what it
does or why it failed; its folder. A training shows its step and when it is
expected to end, at the speed since it was started or resumed. Runs in SLURM's
queue (launcher.wait=false) are shown on hosts with squeue. A run is skipped if
a stage that it needs failed. The same command as before runs what is not done.
"""
ORDER = ("running", "queued", "failed", "skipped", "interrupted", "done")


def main() -> None:
    """Entry point of `llmrec status` and `python -m llmrec.status`."""
    run_command(HELP, _status, needs_arguments=False)


def _status(arguments: list[str]) -> None:
    from llmrec.training.progress import read_progress
    from llmrec.training.submitted import queue_of

    if len(arguments) > 1:
        raise InputError(f"{arguments[1]}: give one folder (try --help)")
    root = Path(arguments[0] if arguments else os.environ.get("LLMREC_RUNS", "runs"))
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder. Give the folder of runs")
    runs = runs_below(root)
    queue = queue_of(run.folder for run in runs)
    found = [(read_progress(run, queue), run) for run in runs]
    for progress, run in sorted(found, key=lambda pair: (ORDER.index(pair[0].state), str(pair[1].folder))):
        print(f"{progress.state:<12}{progress!s:<44}{run.folder}")
    counts = Counter(progress.state for progress, _ in found)
    print(", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state]) or "no runs", file=sys.stderr)


def runs_below(root: Path) -> "list[RunFolder]":
    """Returns the folders of runs at or below a folder; a run has no runs inside."""
    from llmrec.training.run_folder import CONFIG, RunFolder
    from llmrec.training.submitted import SUBMITTED

    found = []
    for folder, folders, files in os.walk(root):
        # A run that is being prepared has only Hydra's files and the log of its job, one in the queue not even those.
        if CONFIG in files or SUBMITTED in files or ".hydra" in folders:
            found.append(RunFolder(Path(folder)))
            folders.clear()
    return found


if __name__ == "__main__":
    main()
