"""What a report says of a run: how it was made, and its curves."""

import shlex
from typing import Any

import numpy as np

from llmrec.tables.runs import Points, Run

MOST_POINTS = 200
"""Of a curve that a report shows."""
DECODING = {"valid": "decoding validation", "test": "decoding test"}


def run_data(run: Run) -> dict[str, Any]:
    """Plain data: command, provenance, times, curves, bias by bins of titles."""
    training, provenance = run.training, run.training["provenance"]
    seconds = {DECODING.get(name, name): spent for name, spent in run.record["seconds"].items()}
    return {
        "command": f"python -m llmrec.run {shlex.join(run.job.overrides)}",
        "dataset": run.test["dataset"],
        "simulated": run.test["simulated"],
        "task": run.task,
        "who": run.job.cell.folder.parent.name,
        "seed": training["seed"],
        "scale": training["scale"],
        "chosen_epoch": training.get("chosen_epoch", training.get("baseline", {}).get("chosen_epoch")),
        "revision": provenance["revision"],
        "versions": provenance["versions"],
        "hardware": provenance["hardware"],
        "seconds": training["seconds"] | seconds,
        "wall_seconds": run.wall_seconds,
        "curves": {name: thinned(points) for name, points in run.curves.items()},
        "fairness": _bias(run.test.get("fairness")),
        "reference": run.reference,
    }


def thinned(points: Points) -> list[list[float]]:
    """At most MOST_POINTS of a curve, evenly chosen, the first and the last among them; six digits of each value."""
    chosen = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int)
    return [[points[i][0], float(f"{points[i][1]:.6g}")] for i in chosen]


def _bias(fairness: dict[str, Any] | None) -> dict[str, Any] | None:
    """By bins of popularity and of relevance: shares of lists (gp) and histories (gh), and the parity measures."""
    if not fairness:
        return None
    found: dict[str, Any] = {}
    for name in ("popularity", "relevance"):
        if name in fairness:
            # The record names the shares of the lists by their cut-off, the largest it has.
            found[name] = {key.partition("@")[0] if key.startswith("gp@") else key: value
                           for key, value in fairness[name].items()}  # fmt: skip
    return found or None
