"""Collects the data of a run for a report: how it was made, and its curves."""

import shlex
from typing import Any

import numpy as np

from llmrec.tables.runs import Points, Run

MAX_POINTS = 200
"""Points of a curve in a report."""
DECODING = {"valid": "decoding validation", "test": "decoding test"}


def run_data(run: Run) -> dict[str, Any]:
    """Returns command, provenance, seconds, curves and bias of a run as JSON-serializable data."""
    training, provenance = run.training, run.training["provenance"]
    seconds = {DECODING.get(name, name): duration for name, duration in run.record["seconds"].items()}
    return {
        "command": f"python -m llmrec.run {shlex.join(run.job.overrides)}",
        "dataset": run.test["dataset"],
        "simulated": run.test["simulated"],
        "task": run.task,
        "who": run.job.run.folder.parent.name,
        "seed": training["seed"],
        "scale": training["scale"],
        "chosen_epoch": training.get("chosen_epoch", training.get("baseline", {}).get("chosen_epoch")),
        "revision": provenance["revision"],
        "edited": run.edited,
        "versions": provenance["versions"],
        "hardware": provenance["hardware"],
        "seconds": training["seconds"] | seconds,
        "wall_seconds": run.wall_seconds,
        "curves": {name: thinned(points) for name, points in run.curves.items()},
        "fairness": _bias(run.test.get("fairness")),
        "reference": run.reference,
    }


def thinned(points: Points) -> list[list[float]]:
    """Reduces a curve to MAX_POINTS evenly spaced points, including the first and the last, with six digits each."""
    chosen = np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).round().astype(int)
    return [[points[i][0], float(f"{points[i][1]:.6g}")] for i in chosen]


def _bias(fairness: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns shares and parity measures by bins of popularity and of relevance.

    Keys are `gp` for the shares of the recommendations and `gh` for those of the histories.
    """
    if not fairness:
        return None
    found: dict[str, Any] = {}
    for name in ("popularity", "relevance"):
        if name in fairness:
            # The record has the shares for its largest cutoff only, whose value is part of the key.
            found[name] = {key.partition("@")[0] if key.startswith("gp@") else key: value
                           for key, value in fairness[name].items()}  # fmt: skip
    return found or None
