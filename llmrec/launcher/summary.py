"""The summary at the end of a sweep: each job's NDCG@10, and the jobs that are not done."""

import json
from collections.abc import Sequence
from typing import Any

from llmrec.errors import InputError
from llmrec.launcher.pool import Outcome
from llmrec.training.plan import Job, names_apart
from llmrec.training.run_folder import METRICS

RANKED = {"by_title": "NDCG@10, full catalogue", "by_list": "NDCG@10, lists"}
"""Headings by the kind of ranking; figures of different kinds are not comparable."""


def print_summary(ended: Sequence[Outcome | InputError], overrides: Sequence[Sequence[str]]) -> None:
    """Prints NDCG@10 on validation and test of each job, a table for each kind of ranking, then the jobs not done.

    Args:
        ended: Outcomes, or the errors of jobs that could not be planned.
        overrides: Overrides of each job from the command line.
    """
    done = [end for end in ended if isinstance(end, Outcome) and end.state in ("done", "there")]
    names = names_apart([end.job for end in ended if isinstance(end, Outcome)])
    width = max(map(len, [*names.values(), *RANKED.values()]))
    for ranking, heading in RANKED.items():
        jobs = [
            outcome.job for outcome in done if any(ranking in measured for measured in _splits(outcome.job).values())
        ]
        if jobs:
            print(f"\n{heading:<{width}}  validation        test")
        for job in jobs:
            figures = "".join(f"  {_figure(job, split):>10}" for split in ("valid", "test"))
            print(f"{names[job.record]:<{width}}{figures}")
    missing = [(end, typed) for end, typed in zip(ended, overrides, strict=True) if end not in done]
    print(f"\n{len(done)} of {len(ended)} jobs are done" + ("" if not missing else "; these are not:"))
    for end, typed in missing:
        state, why = (end.state, end.why) if isinstance(end, Outcome) else ("not started", str(end))
        print(f"  {' '.join(typed)}\n    {state}: {why}")
    if missing:
        print("The same command runs only these; finished jobs are kept.")


def validation_score(job: Job) -> float | None:
    """Returns NDCG@10 of a finished job on validation, or None where validation was not measured."""
    return _ndcg10(job, "valid")


def _splits(job: Job) -> dict[str, dict[str, Any]]:
    measured: dict[str, dict[str, Any]] = json.loads((job.record / METRICS).read_text(encoding="utf-8"))["splits"]
    return measured


def _ndcg10(job: Job, split: str) -> float | None:
    measured = _splits(job).get(split, {})
    figures = measured.get("by_title", measured.get("by_list"))
    return None if figures is None else float(figures["ndcg@10"])


def _figure(job: Job, split: str) -> str:
    value = _ndcg10(job, split)
    return "-" if value is None else f"{value:.4f}"
