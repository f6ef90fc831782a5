"""Kills a sweep again and again at random moments, then compares its records with those of an uninterrupted one.

    python experiments/kill_sweep.py [kills=20] [seed=0] [folder=/tmp/llmrec-kills]

Each time `kill -9` ends the sweep, by turns with all its processes and alone; the same command follows until it comes
to its end. Prints what was at work at each kill, and how many files of the two sweeps differ. Linux only.
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
    "launcher.jobs=2",
)  # fmt: skip
BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")


def main() -> None:
    """Prints one line a kill, then the counts."""
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
    print(f"records of {len(list(whole.rglob('metrics.json')))} cells, {len(expected)} files compared, "
          f"{len(differing)} differ {differing}")  # fmt: skip
    sys.exit(bool(differing))


def sweep(cache: Path, runs: Path) -> subprocess.Popen[bytes]:
    """Starts the sweep."""
    environment = os.environ | {"LLMREC_CACHE": str(cache), "LLMREC_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "llmrec.run", *SWEEP], env=environment, stdout=subprocess.DEVNULL)


def kill_many(cache: Path, runs: Path, kills: int, longest: float, generator: random.Random) -> Counter[str]:
    """Kills the sweep so often; where it ends by itself all begins anew. Counts what was at work."""
    moments: Counter[str] = Counter()
    while sum(moments.values()) < kills:
        process = sweep(cache, runs)
        try:
            # Short lives are likelier, or the sweep would be at its end after a few.
            process.wait(longest * generator.random() ** 2)
        except subprocess.TimeoutExpired:
            at_work = moment(runs)
            kill(process, alone=sum(moments.values()) % 2 == 1)
            moments[at_work] += 1
            print(f"kill {sum(moments.values())}: {at_work}", flush=True)
        else:
            print("ended by itself; begun anew", flush=True)
            shutil.rmtree(runs)
    assert sweep(cache, runs).wait() == 0, "the sweep failed"
    return moments


def moment(runs: Path) -> str:
    """What the cells in the works show that was being done."""
    begun = [file.parent for file in runs.rglob(".lock") if not list(file.parent.glob("eval/*/metrics.json"))]
    if any(list(cell.rglob(".*.*.*")) for cell in begun if (cell / "checkpoints").exists()):
        return "while writing"
    if any((cell / "training.json").exists() for cell in begun):
        return "in evaluation"
    return "in training" if any((cell / "curves.csv").exists() for cell in begun) else "while starting"


def kill(process: subprocess.Popen[bytes], alone: bool) -> None:
    """Ends a process, and all that it has started unless it should end alone."""
    for number in [process.pid, *([] if alone else descendants(process.pid))]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(process: int) -> list[int]:
    """The processes that a process and its children have started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    children = [int(number) for number in listed.stdout.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def contents(runs: Path) -> dict[str, object]:
    """What the files of all cells say, by path, less times and provenance."""
    found: dict[str, object] = {}
    for file in runs.rglob("*"):
        name = str(file.relative_to(runs))
        if file.name == "metrics.json":
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key != "seconds"}
        elif file.name == "training.json":
            kept = json.loads(file.read_text())
            found[name] = {key: kept[key] for key in ("chosen_epoch", "chosen_by", "identity", "seed") if key in kept}
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
