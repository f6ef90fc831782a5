"""Leaves a whole sweep to SLURM, which starts each job once those that it depends on have succeeded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from llmrec.errors import BUSY, InputError
from llmrec.launcher.plan import waits_for
from llmrec.launcher.pool import Outcome, mark_failed, with_stages
from llmrec.launcher.slurm import SlurmPool, Task
from llmrec.training.plan import Job, names_apart
from llmrec.training.run_folder import RunFolder
from llmrec.training.stages import PLANNED
from llmrec.training.submitted import RUNNING, WAITING, Submission, read_queue, read_submissions, write_submission


@dataclass(frozen=True)
class UnattendedTask(Task):
    """A task that marks its run as failed itself, since no launcher waits for it."""

    def __call__(self) -> int:
        """Runs the command and returns 0.

        Raises:
            RuntimeError: The command failed, or found the run in use by another process.
        """
        try:
            status = super().__call__()
            if status == BUSY:
                raise RuntimeError(f"another process works on the run; its output: {self.log}")
        except RuntimeError as error:
            mark_failed(RunFolder(self.folder), self.arguments, self.log, str(error))
            raise
        return status


class UnattendedPool(SlurmPool):
    """Submits the missing jobs of a sweep and does not wait for them.

    Jobs that wait for the same ones are an array, of which at most as many run at a time as there are slots. SLURM
    removes the jobs that wait for one that failed.
    """

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Submits jobs and the stages that they depend on, and returns the jobs' outcomes in the same order.

        Raises:
            BusyError: Another launcher works on one of the runs.
            InputError: sbatch refuses a job; those that were submitted before stay in the queue.
        """
        planned = with_stages(jobs)
        self.names = names_apart(planned)
        missing = [job for job in planned if not job.done]
        self.outcomes = {job.record: Outcome(job, "there") for job in planned if job.done}
        with ExitStack() as claims:
            for run in {job.run.folder: job.run for job in missing}.values():
                claims.enter_context(run.claim())
            self._submit_all(missing)
        return [self.outcomes[job.record] for job in jobs]

    def _submit_all(self, missing: Sequence[Job]) -> None:
        queue = read_queue() or {}
        ids: dict[int, str] = {}
        for waited, numbers in arrays(waits_for(missing)):
            there = {number: job for number in numbers if (job := _queued(missing[number - 1], queue))}
            new = [number for number in numbers if number not in there]
            after = {missing[number - 1].run: ids[number] for number in waited}
            submitted = self._submit([missing[number - 1] for number in new], after)
            ids |= there | dict(zip(new, submitted, strict=True))
            for number in numbers:
                name = f"SLURM job {ids[number]}"
                message = f"is {name} already" if number in there else f"submitted as {name}"
                self._end(Outcome(missing[number - 1], "submitted", name), message)

    def _submit(self, jobs: Sequence[Job], after: Mapping[RunFolder, str]) -> list[str]:
        """Submits jobs as one array that waits for jobs of other runs, given by their ids; returns the new ids."""
        from submitit.core.utils import FailedJobError

        if not jobs:
            return []
        for job in jobs:
            job.run.failure.unlink(missing_ok=True)
        if after:
            # The first array, of the jobs that wait for none, has been submitted before.
            self.executor.update_parameters(slurm_dependency="afterok:" + ":".join(after.values()))
        try:
            submitted = self.executor.submit_array([self._task(job) for job in jobs])
        except FailedJobError as error:
            before = [outcome for outcome in self.outcomes.values() if outcome.state == "submitted"]
            raise InputError(
                f"sbatch took none of {len(jobs)} jobs, see conf/launcher/slurm.yaml: {error}; {len(before)} are in "
                "the queue, and the same command submits the others"
            ) from error
        stages = [str(run.folder.absolute()) for run in after]
        for job, taken in zip(jobs, submitted, strict=True):
            write_submission(job.record, job.run.folder, Submission(str(taken.job_id), stages))
        return [str(taken.job_id) for taken in submitted]

    def _task(self, job: Job) -> UnattendedTask:
        arguments = [*self.arguments, *job.overrides, "hydra.mode=RUN"]
        environment = {**self.shared, **self.slots[0], PLANNED: str(job.run.folder)}
        return UnattendedTask(arguments, environment, job.run.folder.absolute())


def arrays(waits: Mapping[int, Sequence[int]]) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Groups jobs that wait for the same ones.

    Args:
        waits: For each job those that it waits for, which come before it.

    Yields:
        The jobs that are waited for, and those that wait for them; a group comes after all that it waits for.
    """
    depths: dict[int, int] = {}
    for number, waited in waits.items():
        depths[number] = 1 + max((depths[other] for other in waited), default=0)

    def key(number: int) -> tuple[int, tuple[int, ...]]:
        return depths[number], tuple(waits[number])

    for (_, waiting_for), numbers in groupby(sorted(waits, key=key), key=key):
        yield waiting_for, list(numbers)


def _queued(job: Job, queue: Mapping[str, str]) -> str | None:
    """Returns the id of a job that was submitted before and is in the queue, or None."""
    submission = read_submissions(job.run.folder).get(job.record.name)
    return submission.job if submission and queue.get(submission.job) in (*WAITING, *RUNNING) else None
