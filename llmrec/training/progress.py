"""How far a run is, read from the files in its folder while another process works on it."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from llmrec.atomic import atomic_file
from llmrec.training.run_folder import METRICS, TRAINING, RunFolder
from llmrec.training.submitted import RUNNING, WAITING, Submission, jobs_in, read_submissions

PROGRESS, CURVES = "progress.json", "curves.csv"
TAIL_BYTES = 4_096
"""Bytes at the end of curves.csv in which its last whole line is looked for."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: done, running, queued, failed, skipped or interrupted.
        doing: What a running or interrupted run does: preparing, training or ranking; "" for other states.
        step: Number of training steps that are logged.
        steps: Number of training steps; 0 before the training starts.
        seconds_left: Expected seconds until the end of the training, from the speed since it was started or resumed;
            None if nothing is known.
        reason: Why a run failed or was skipped.
        job: SLURM's id of the job of a queued run.
    """

    state: str
    doing: str = ""
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    reason: str = ""
    job: str = ""

    def __str__(self) -> str:
        """What it does or waits for, or why it failed."""
        if self.doing != "training":
            return self.reason or self.doing or (f"SLURM job {self.job}" if self.job else "")
        end = ""
        if self.seconds_left is not None:
            end = f", ends about {datetime.now() + timedelta(seconds=self.seconds_left):%b %d %H:%M}"
        return f"training, step {self.step} of {self.steps}{end}"


def write_progress(folder: Path, steps: int, resumed_at: int) -> None:
    """Writes, when a training starts, its number of steps and the one that it goes on from."""
    with atomic_file(folder / PROGRESS) as temporary:
        started = {"steps": steps, "resumed_at": resumed_at, "time": time.time()}
        temporary.write_text(json.dumps(started) + "\n", encoding="utf-8")


def read_progress(run: RunFolder, queue: Mapping[str, str] | None) -> Progress:
    """Returns how far a run is.

    Args:
        run: The run.
        queue: SLURM's queue, as `read_queue` returns it. Without it, a submitted run is queued until it starts.
    """
    # The file system may not show the lock of another node.
    is_running = run.is_locked or bool(jobs_in(RUNNING, run.folder, queue))
    return (None if is_running else _at_rest(run, queue)) or _at_work(run, is_running)


def _at_rest(run: RunFolder, queue: Mapping[str, str] | None) -> Progress | None:
    """Returns how far a run is that no process works on; None if it was interrupted."""
    if run.trained and any(run.folder.glob(f"rankings/*/{METRICS}")):
        return Progress("done")
    if run.failure.is_file():
        return Progress("failed", reason=run.failure.read_text(encoding="utf-8").strip().splitlines()[-1])
    if jobs := jobs_in(WAITING, run.folder, queue):
        return Progress("queued", job=jobs[0])
    return None if run.config_file.is_file() else _not_started(read_submissions(run.folder).values(), queue)


def _not_started(submissions: Iterable[Submission], queue: Mapping[str, str] | None) -> Progress | None:
    """Returns how far a submitted run is that has never been started."""
    for submission in submissions:
        if queue is None:
            return Progress("queued", job=submission.job)
        for stage in submission.waits_for:
            # SLURM removes a job from the queue once one of those that it waits for has failed.
            if not (Path(stage) / TRAINING).is_file():
                return Progress("skipped", reason=f"its stage {stage} is not trained")
    return None


def _at_work(run: RunFolder, is_running: bool) -> Progress:
    """Returns how far a running or interrupted run is."""
    state = "running" if is_running else "interrupted"
    if run.trained:
        return Progress(state, "ranking")
    file = run.folder / PROGRESS
    if not file.is_file():
        return Progress(state, "preparing")
    started = json.loads(file.read_text(encoding="utf-8"))
    step, steps = _logged_steps(run.folder / CURVES), int(started["steps"])
    taken = step - int(started["resumed_at"])
    elapsed = time.time() - float(started["time"])
    left = (steps - step) * elapsed / taken if is_running and taken > 0 else None
    return Progress(state, "training", step, steps, left)


def _logged_steps(curves: Path) -> int:
    """Returns the number of steps in curves.csv, of which a running training may have written half a line."""
    if not curves.is_file():
        return 0
    with open(curves, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    numbers = [int(line.split(b",")[0]) for line in lines if line.split(b",")[0].isdigit() and line.count(b",") == 2]
    return numbers[-1] + 1 if numbers else 0
