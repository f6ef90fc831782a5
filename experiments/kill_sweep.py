"""Kills a sweep repeatedly at random times, then compares its records with those of an uninterrupted sweep.

    python experiments/kill_sweep.py [kills=20] [seed=0] [folder=/tmp/llmrec-kills]

Alternately, `kill -9` is sent to all processes of the sweep and to its main process only. The same command is repeated
until the sweep completes. Prints the phase of the runs at each kill and how many files of the two sweeps differ. Linux
only.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

SWEEP = (
    "-m", "objective=sft,rosepo", "dataset=games", "dataset.source=simulated", "seed=1,2", "scale=debug", "logger=csv",
    "launcher.jobs=2", "trainer.checkpoint_steps=2",
)  # fmt: skip
BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")
"""Logged metrics that differ between equal runs."""


def main() -> None:
    """Prints a line for each kill, then the counts."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    folder = Path(given.get("folder", tempfile.mkdtemp(prefix="llmrec-kills-")))
    cache, whole, killed = folder / "cache", folder / "whole", folder / "killed"
    started = time.monotonic()
    assert sweep(cache, whole).wait() == 0
    longest = time.monotonic() - started
    moments = kill_many(cache, killed, int(given.get("kills", "20")), longest, random.Random(int(given.get("seed", 0))))
    expected, found = contents(whole), contents(killed)
    differing = [name for name in expected if expected[name] != found.get(name)]
    print(f"{sum(moments.values())} kills: {dict(moments)}")
    print(f"records of {len(list(whole.rglob('metrics.json')))} runs, {len(expected)} files compared, "
          f"{len(differing)} differ {differing}")  # fmt: skip
    sys.exit(bool(differing))


def sweep(cache: Path, runs: Path) -> subprocess.Popen[bytes]:
    """Starts the sweep in the background."""
    environment = os.environ | {"LLMREC_CACHE": str(cache), "LLMREC_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "llmrec.run", *SWEEP], env=environment, stdout=subprocess.DEVNULL)


def kill_many(cache: Path, runs: Path, kills: int, longest: float, generator: random.Random) -> Counter[str]:
    """Kills the sweep `kills` times and starts it from scratch whenever it completes in between.

    Args:
        cache: The cache folder.
        runs: The runs folder.
        kills: Number of kills.
        longest: Duration of an uninterrupted sweep in seconds.
        generator: Draws the times of the kills.

    Returns:
        Number of kills by phase of the runs.
    """
    moments: Counter[str] = Counter()
    while sum(moments.values()) < kills:
        process = sweep(cache, runs)
        try:
            # Squaring makes short times more likely, since the sweep would otherwise complete after a few kills.
            process.wait(longest * generator.random() ** 2)
        except subprocess.TimeoutExpired:
            phase = moment(runs)
            kill(process, alone=sum(moments.values()) % 2 == 1)
            moments[phase] += 1
            print(f"kill {sum(moments.values())}: {phase}", flush=True)
        else:
            assert process.returncode == 0, f"the sweep failed: see {runs}"
            print("the sweep completed; starting it from scratch", flush=True)
            shutil.rmtree(runs)
    assert sweep(cache, runs).wait() == 0, "the sweep failed"
    return moments


def moment(runs: Path) -> str:
    """Returns the phase of the unfinished runs, as their files show it."""
    unfinished = [file.parent for file in runs.rglob(".lock") if not list(file.parent.glob("rankings/*/metrics.json"))]
    if any(list(run.rglob(".*.*.*")) for run in unfinished if (run / "checkpoints").exists()):
        return "while writing"
    if any((run / "training.json").exists() for run in unfinished):
        return "in evaluation"
    return "in training" if any((run / "curves.csv").exists() for run in unfinished) else "while starting"


def kill(process: subprocess.Popen[bytes], alone: bool) -> None:
    """Kills a process and, unless `alone`, its descendants."""
    for number in [process.pid, *([] if alone else descendants(process.pid))]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(process: int) -> list[int]:
    """Returns the ids of all processes that a process has started, directly or indirectly."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    children = [int(number) for number in listed.stdout.split()]
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def contents(runs: Path) -> dict[str, object]:
    """Returns the content of the files of all runs by path, without times and provenance."""
    found: dict[str, object] = {}
    for file in runs.rglob("*"):
        name = str(file.relative_to(runs))
        if file.name == "metrics.json":
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key != "seconds"}
        elif file.name == "training.json":
            training = json.loads(file.read_text())
            compared = ("chosen_epoch", "chosen_by", "identity", "seed")
            found[name] = {key: training[key] for key in compared if key in training}
        elif file.suffix == ".parquet":
            found[name] = pq.read_table(file)
        elif file.suffix == ".safetensors":
            found[name] = file.read_bytes()
        elif file.name == "curves.csv":
            lines = file.read_text().splitlines()
            found[name] = [line for line in lines if line.split(",")[1] not in BY_THE_CLOCK]
    return found


if __name__ == "__main__":
    main()
