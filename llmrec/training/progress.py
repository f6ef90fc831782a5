"""How far a run is, read from the files in its folder while another process works on it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from llmrec.atomic import atomic_file
from llmrec.training.run_folder import METRICS, RunFolder

PROGRESS, CURVES = "progress.json", "curves.csv"
TAIL_BYTES = 4_096
"""Bytes at the end of curves.csv in which its last whole line is looked for."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: done, running, failed or interrupted.
        doing: What a running or interrupted run does: preparing, training or ranking; "" for other states.
        step: Number of training steps that are logged.
        steps: Number of training steps; 0 before the training starts.
        seconds_left: Expected seconds until the end of the training, from the speed since it was started or resumed;
            None if nothing is known.
        reason: Why a failed run failed.
    """

    state: str
    doing: str = ""
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    reason: str = ""


def write_progress(folder: Path, steps: int, resumed_at: int) -> None:
    """Writes, when a training starts, its number of steps and the one that it goes on from."""
    with atomic_file(folder / PROGRESS) as temporary:
        started = {"steps": steps, "resumed_at": resumed_at, "time": time.time()}
        temporary.write_text(json.dumps(started) + "\n", encoding="utf-8")


def read_progress(run: RunFolder) -> Progress:
    """Returns how far a run is."""
    is_running = run.is_locked
    if run.trained and not is_running and any(run.folder.glob(f"rankings/*/{METRICS}")):
        return Progress("done")
    if run.failure.is_file() and not is_running:
        return Progress("failed", reason=run.failure.read_text(encoding="utf-8").strip().splitlines()[-1])
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
