"""What the comparisons on real sets have in common: a cell is a command, its figures are what its files say."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
THREADS = {"OMP_NUM_THREADS": "1"}
"""Of each command: the figures of a cell do not depend on what else the machine does."""
REFERENCE = ("dataset.reference.relevance=tiny", "dataset.reference.encoder=null")
"""The one that the tables in results/ were made with."""


def cell(dataset: str, seed: int, overrides: Sequence[str]) -> Path:
    """The record of one cell at scale=cpu, which is run unless it is there."""
    settings = [f"dataset={dataset}", "dataset.source=real", "scale=cpu", f"seed={seed}", *REFERENCE]
    return call("llmrec.run", [*overrides, *settings, "logger=csv", "trainer.progress=false"], "record: ")


def call(module: str, arguments: Sequence[str], announces: str) -> Path:
    """Runs a command of llmrec and returns the folder that it names on the line that begins with `announces`."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | THREADS)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    # The last: a stage that the command runs first names a record of its own.
    line = [line for line in done.stdout.splitlines() if line.startswith(announces)][-1]
    print(module, *arguments[:5], line, flush=True)
    return Path(line.removeprefix(announces))


def splits(record: Path) -> dict[str, Any]:
    """The metrics of a record, by split."""
    return dict(json.loads((record / "metrics.json").read_text())["splits"])


def training(record: Path) -> dict[str, Any]:
    """What training.json says of the cell of a record."""
    return dict(json.loads((record.parents[1] / "training.json").read_text()))


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def header(title: str, *columns: str) -> list[str]:
    """The head of a table in Markdown."""
    return [f"## {title}", "", row(*columns), "|---" * len(columns) + "|"]


def row(*cells: str) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
