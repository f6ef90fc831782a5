"""What the launchers share: jobs are planned, run in one way or another, and Hydra is told how they ended."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.launcher.pool import Outcome
from llmrec.launcher.summary import print_summary, validation_score
from llmrec.training.plan import Job, plan_job

LONGEST_GROUP = 128
"""Characters that W&B takes."""


def launch_planned(
    job_overrides: Sequence[Sequence[str]], run: Callable[[Sequence[Job]], Sequence[Outcome]]
) -> list[JobReturn]:
    """Has the jobs of a sweep run to their end and prints its summary.

    run: gives the outcomes of jobs in their order. A job that failed, or could not be planned, comes back as failed.
    """
    setup_globals()
    with plain_errors():
        planned = [_plan(overrides) for overrides in job_overrides]
        outcomes = iter(run([job for job in planned if isinstance(job, Job)]))
    ended = [next(outcomes) if isinstance(job, Job) else job for job in planned]
    print_summary(ended, job_overrides)
    return [_returned(end, overrides) for end, overrides in zip(ended, job_overrides, strict=True)]


def sweep_group(config: DictConfig, named: str | None) -> str:
    """The group of a sweep's W&B runs: what it is named, or what was typed."""
    return (named or " ".join(config.hydra.overrides.task))[:LONGEST_GROUP]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the process with the message of an InputError alone; Hydra would show where in the code it arose."""
    try:
        yield
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        sys.exit(2)


def _plan(overrides: Sequence[str]) -> Job | InputError:
    try:
        return plan_job(overrides)
    except InputError as error:
        return error


def _returned(end: Outcome | InputError, overrides: Sequence[str]) -> JobReturn:
    if isinstance(end, Outcome) and end.state in ("done", "there"):
        value = validation_score(end.job)
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=value)
    why = end.why if isinstance(end, Outcome) else str(end)
    # Of this kind Hydra shows the message and no traceback, and exits with status 1.
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=CompactHydraException(why))
