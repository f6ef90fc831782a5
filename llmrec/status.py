"""Shows how far the runs in a folder are: python -m llmrec.status runs."""

import os
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.command import run_command
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.training.progress import Progress
    from llmrec.training.run_folder import RunFolder

HELP = """\
Shows how far the runs in a folder are, also while other processes work on them.

  python -m llmrec.status                    # LLMREC_RUNS, or runs
  python -m llmrec.status runs/games         # those below a folder

A line per run: done, running, failed or interrupted; what it does; its folder.
A training shows its step and when it is expected to end, at the speed since it
was started or resumed. The same command as before continues what is interrupted
or failed.
"""
ORDER = ("running", "failed", "interrupted", "done")


def main() -> None:
    """Entry point of `llmrec status` and `python -m llmrec.status`."""
    run_command(HELP, _status, needs_arguments=False)


def _status(arguments: list[str]) -> None:
    from llmrec.training.progress import read_progress

    if len(arguments) > 1:
        raise InputError(f"{arguments[1]}: give one folder (try --help)")
    root = Path(arguments[0] if arguments else os.environ.get("LLMREC_RUNS", "runs"))
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder. Give the folder of runs")
    found = [(read_progress(run), run) for run in runs_below(root)]
    for progress, run in sorted(found, key=lambda pair: (ORDER.index(pair[0].state), str(pair[1].folder))):
        print(f"{progress.state:<12}{_described(progress):<44}{run.folder}")
    counts = Counter(progress.state for progress, _ in found)
    print(", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state]) or "no runs", file=sys.stderr)


def runs_below(root: Path) -> "list[RunFolder]":
    """Returns the folders of runs at or below a folder; a run has no runs inside."""
    from llmrec.training.run_folder import CONFIG, RunFolder

    found = []
    for folder, folders, files in os.walk(root):
        # A run that is being prepared has only Hydra's files and the log of its job.
        if CONFIG in files or ".hydra" in folders:
            found.append(RunFolder(Path(folder)))
            folders.clear()
    return found


def _described(progress: "Progress") -> str:
    if progress.state == "failed":
        return progress.reason
    if progress.doing != "training":
        return progress.doing
    end = ""
    if progress.seconds_left is not None:
        end = f", ends about {datetime.now() + timedelta(seconds=progress.seconds_left):%b %d %H:%M}"
    return f"training, step {progress.step} of {progress.steps}{end}"


if __name__ == "__main__":
    main()
