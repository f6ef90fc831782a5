"""The summary at the end of a sweep: each job's NDCG@10, and the jobs that are not done."""

from collections.abc import Sequence
from typing import Any

from llmrec.errors import InputError
from llmrec.launcher.pool import Outcome
from llmrec.training.plan import Job, names_apart


def print_summary(ended: Sequence[Outcome | InputError], overrides: Sequence[Sequence[str]]) -> None:
    """Prints the headline on validation and test of each job, a table for each headline, then the jobs not done.

    Figures with different headlines are not comparable.

    Args:
        ended: Outcomes, or the errors of jobs that could not be planned.
        overrides: Overrides of each job from the command line.
    """
    done = [end for end in ended if isinstance(end, Outcome) and end.state in ("done", "there")]
    names = names_apart([end.job for end in ended if isinstance(end, Outcome)])
    headings = {outcome.job.record: _record(outcome.job)["headline"]["label"] for outcome in done}
    width = max(map(len, [*names.values(), *headings.values()]), default=0)
    for heading in sorted(set(headings.values())):
        print(f"\n{heading:<{width}}  validation        test")
        for job in (outcome.job for outcome in done if headings[outcome.job.record] == heading):
            figures = "".join(f"  {_figure(job, split):>10}" for split in ("valid", "test"))
            print(f"{names[job.record]:<{width}}{figures}")
    missing = [(end, typed) for end, typed in zip(ended, overrides, strict=True) if end not in done]
    print(f"\n{len(done)} of {len(ended)} jobs are done" + ("" if not missing else "; these are not:"))
    for end, typed in missing:
        state, reason = (end.state, end.reason) if isinstance(end, Outcome) else ("not started", str(end))
        print(f"  {' '.join(typed)}\n    {state}: {reason}")
    if any(isinstance(end, Outcome) and end.state == "submitted" for end, _ in missing):
        print("python -m llmrec.status shows how far they are. The same command submits only what is missing then.")
    elif missing:
        print("The same command runs only these; finished jobs are kept.")


def validation_score(job: Job) -> float | None:
    """Returns the headline of a finished job on validation, or None where validation was not measured."""
    return _headline(job, "valid")


def _record(job: Job) -> dict[str, Any]:
    # The parent of a sweep needs pyarrow only here.
    from llmrec.evaluation.record import read_metrics

    return read_metrics(job.record)


def _headline(job: Job, split: str) -> float | None:
    record = _record(job)
    value: Any = record["splits"].get(split)
    for key in record["headline"]["path"].split("."):
        value = None if value is None else value.get(key)
    return None if value is None else float(value)


def _figure(job: Job, split: str) -> str:
    value = _headline(job, split)
    return "-" if value is None else f"{value:.4f}"
