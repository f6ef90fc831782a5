"""Kills a run repeatedly at random moments of its training, and compares it with an uninterrupted run.

    python experiments/kills.py [kills=30] [seed=0] [steps=4] [folder=/tmp/llmrec-kills]

The run tunes an adapter with dropout by GDRT over MSL, an objective with state of its own, and saves a checkpoint every
`steps` optimizer steps. All of its processes get `kill -9`, and the same command is repeated. A run that completes
is compared, and another one started from scratch, until there were `kills` kills on one rank and as many on two.
Prints a table in Markdown. Linux only.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from kill_sweep import contents, kill, moment

RUN = (
    "objective=gdrt", "objective/token_loss=msl", "objective.reference=current", "objective.ema=0.5", "adapter=lora",
    "adapter.dropout=0.1", "dataset=games", "dataset.source=simulated", "scale=debug", "logger=csv", "trainer.epochs=6",
    "trainer.batch_size=8", "trainer.accelerator=cpu", "trainer.progress=false",
)  # fmt: skip
"""120 optimizer steps, 20 an epoch."""


@dataclass
class Kills:
    """What the kills of one run did.

    Attributes:
        phases: Number of kills by phase of the run.
        lost: Number of logged steps that the last checkpoint did not have, at each kill before the training's end.
        completed: Number of runs that were completed after kills.
        compared: Number of their files that were compared with those of the uninterrupted run.
        differing: Names of the files that differ.
    """

    phases: Counter[str] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    completed: int = 0
    compared: int = 0
    differing: list[str] = field(default_factory=list)


def main() -> None:
    """Prints a row for one rank and one for two."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    folder = Path(given.get("folder", tempfile.mkdtemp(prefix="llmrec-kills-")))
    generator = random.Random(int(given.get("seed", "0")))
    print("| ranks | kills | phases | steps lost by a kill in training | runs completed | files compared | differ |")
    print("|---|---|---|---|---|---|---|", flush=True)
    differ = False
    for ranks in (1, 2):
        command = [*RUN, f"trainer.checkpoint_steps={given.get('steps', '4')}", f"trainer.devices={ranks}"]
        kills = kill_many(command, folder / str(ranks), int(given.get("kills", "30")), generator)
        phases = ", ".join(f"{count} {phase}" for phase, count in kills.phases.most_common())
        lost = f"mean {sum(kills.lost) / len(kills.lost):.1f}, at most {max(kills.lost)}" if kills.lost else ""
        print(
            f"| {ranks} | {kills.phases.total()} | {phases} | {lost} | {kills.completed} | {kills.compared} "
            f"| {len(kills.differing)} {' '.join(kills.differing)} |", flush=True,
        )  # fmt: skip
        differ = differ or bool(kills.differing)
    sys.exit(differ)


def kill_many(command: list[str], folder: Path, count: int, generator: random.Random) -> Kills:
    """Completes a run without kills, then others with `count` kills in all.

    Args:
        command: Overrides of the run.
        folder: Takes the runs; the cache is beside it.
        count: Number of kills.
        generator: Draws the moments of the kills.
    """
    assert start(command, folder / "whole").wait() == 0
    expected, kills = contents(folder / "whole"), Kills()
    (training,) = folder.glob("whole/*/*/*/*/*/training.json")
    training_s = json.loads(training.read_text())["seconds"]["training"]
    while kills.phases.total() < count or (folder / f"killed-{kills.completed}").exists():
        runs = folder / f"killed-{kills.completed}"
        run = runs / training.parent.relative_to(folder / "whole")
        process = start(command, runs)
        wait_for_training(process, run)
        try:
            # Short, so that a run is killed several times before it completes.
            after_s = generator.uniform(0, training_s / 5)
            is_last = kills.phases.total() == count or (run / "training.json").exists()
            assert process.wait(None if is_last else after_s) == 0
        except subprocess.TimeoutExpired:
            kill(process, alone=False)
            kills.phases[moment(runs)] += 1
            if not (run / "training.json").exists():
                kills.lost.append(max(0, logged_steps(run) - saved_steps(run)))
            continue
        found = contents(runs)
        kills.completed += 1
        kills.compared += len(expected)
        kills.differing += [name for name, content in expected.items() if content != found.get(name)]
    return kills


def start(command: list[str], runs: Path) -> subprocess.Popen[bytes]:
    """Starts the run in the background."""
    environment = os.environ | {
        "LLMREC_CACHE": str(runs.parents[1] / "cache"), "LLMREC_RUNS": str(runs), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-m", "llmrec.run", *command], env=environment, stdout=subprocess.DEVNULL)


def wait_for_training(process: subprocess.Popen[bytes], run: Path) -> None:
    """Waits until the process logs a step that no checkpoint has, or until it has trained."""
    before, saved = written_at(run), saved_steps(run)
    while process.poll() is None and not (run / "training.json").exists():
        # What an earlier process logged beyond the checkpoint is removed at the start.
        if written_at(run) != before and logged_steps(run) > saved:
            return
        time.sleep(0.005)


def written_at(run: Path) -> int | None:
    """Returns when the run's curves were last written, in nanoseconds."""
    curves = run / "curves.csv"
    return curves.stat().st_mtime_ns if curves.exists() else None


def logged_steps(run: Path) -> int:
    """Returns the number of steps in the run's curves."""
    curves = run / "curves.csv"
    lines = curves.read_text().splitlines() if curves.exists() else []
    return max((int(line.split(",")[0]) + 1 for line in lines if ",train/loss," in line), default=0)


def saved_steps(run: Path) -> int:
    """Returns the number of steps in the run's last checkpoint."""
    last = run / "checkpoints" / "last.ckpt"
    return int(torch.load(last, weights_only=True)["global_step"]) if last.exists() else 0


if __name__ == "__main__":
    main()
