"""Plans the jobs of a sweep, has a launcher run them, and reports the results to Hydra."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from llmrec.errors import InputError, SettingsError
from llmrec.launcher.pool import Outcome
from llmrec.launcher.summary import print_summary, validation_score
from llmrec.training.plan import Job, plan_job

MAX_GROUP_CHARACTERS = 128
"""Limit of W&B for the name of a group."""


def launch_planned(
    job_overrides: Sequence[Sequence[str]], run: Callable[[Sequence[Job]], Sequence[Outcome]]
) -> list[JobReturn]:
    """Plans and runs the jobs of a sweep and prints its summary.

    Args:
        job_overrides: Overrides of each job.
        run: Runs jobs and returns their outcomes in the same order.

    Returns:
        Hydra's results in the same order; jobs that failed or could not be planned are marked as failed.

    A setting that no run can have ends the process before a job is started.
    """
    setup_globals()
    with plain_errors():
        planned = [_plan(overrides) for overrides in job_overrides]
        outcomes = iter(run([job for job in planned if isinstance(job, Job)]))
    ended = [next(outcomes) if isinstance(job, Job) else job for job in planned]
    print_summary(ended, job_overrides)
    return [_returned(end, overrides) for end, overrides in zip(ended, job_overrides, strict=True)]


def sweep_group(config: DictConfig, named: str | None) -> str:
    """Returns the group of a sweep's W&B runs: `named` or, by default, the overrides from the command line."""
    return (named or " ".join(config.hydra.overrides.task))[:MAX_GROUP_CHARACTERS]


def refuse_search(config: DictConfig) -> None:
    """Ends the process if a sweep is a search; the runs of other sweeps can be planned before the first one ends."""
    with plain_errors():
        if "search" in config:
            raise InputError("a search chooses each trial by those before, so its runs cannot be planned")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the process with an InputError's message only; Hydra would print a traceback."""
    try:
        yield
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        sys.exit(2)


def _plan(overrides: Sequence[str]) -> Job | InputError:
    try:
        return plan_job(overrides, with_classes=True)
    except SettingsError:
        raise
    except InputError as error:
        return error


def _returned(end: Outcome | InputError, overrides: Sequence[str]) -> JobReturn:
    if isinstance(end, Outcome) and end.state in ("done", "there", "submitted"):
        value = None if end.state == "submitted" else validation_score(end.job)
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=value)
    reason = end.reason if isinstance(end, Outcome) else str(end)
    # For this exception Hydra prints the message without a traceback and exits with status 1.
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=CompactHydraException(reason))
