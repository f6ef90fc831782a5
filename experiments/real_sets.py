"""Functions that the comparisons on real datasets share: running llmrec, reading records, formatting tables."""

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
"""Environment of each command: one thread, so that results do not depend on the load of the machine."""
REFERENCE = ("dataset.reference.relevance=tiny", "dataset.reference.encoder=null")
"""Reference model of the tables in results/."""


def cell(dataset: str, seed: int, overrides: Sequence[str]) -> Path:
    """Makes a run at scale=cpu, unless it is finished, and returns the folder of its record."""
    settings = [f"dataset={dataset}", "dataset.source=real", "scale=cpu", f"seed={seed}", *REFERENCE]
    return call("llmrec.run", [*overrides, *settings, "logger=csv", "trainer.progress=false"], "record: ")


def call(module: str, arguments: Sequence[str], announces: str) -> Path:
    """Runs a command of llmrec and returns the folder that it prints.

    Args:
        module: The module of the command.
        arguments: Its arguments.
        announces: Start of the line with the folder.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | THREADS)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    # The last such line counts, since stages that run first print the folders of their own records.
    line = [line for line in done.stdout.splitlines() if line.startswith(announces)][-1]
    print(module, *arguments[:5], line, flush=True)
    return Path(line.removeprefix(announces))


def splits(record: Path) -> dict[str, Any]:
    """Returns the metrics of a record by split."""
    return dict(json.loads((record / "metrics.json").read_text())["splits"])


def training(record: Path) -> dict[str, Any]:
    """Returns the content of training.json of the run that a record belongs to."""
    return dict(json.loads((record.parents[1] / "training.json").read_text()))


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Formats the mean and, for several values, their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def header(title: str, *columns: str) -> list[str]:
    """Returns the lines of the title and the header of a Markdown table."""
    return [f"## {title}", "", row(*columns), "|---" * len(columns) + "|"]


def row(*cells: str) -> str:
    """Returns a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
