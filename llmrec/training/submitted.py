"""Jobs that were left in SLURM's queue: submitted.json in the folder of a run, and the queue as squeue lists it."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llmrec.atomic import atomic_file
from llmrec.errors import InputError

SUBMITTED = "submitted.json"
WAITING = ("PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED")
"""SLURM's states of a job in the queue that does not run."""
RUNNING = ("RUNNING",)


@dataclass(frozen=True)
class Submission:
    """A job that was submitted for a run.

    Attributes:
        job: SLURM's id of the job, such as 12 or 12_3.
        waits_for: Folders of the runs whose jobs must have succeeded before it starts.
    """

    job: str
    waits_for: Sequence[str]


def read_submissions(folder: Path) -> dict[str, Submission]:
    """Returns the jobs that were submitted for a run by the name of the folder that takes their record."""
    file = folder / SUBMITTED
    if not file.is_file():
        return {}
    return {name: Submission(**entry) for name, entry in json.loads(file.read_text(encoding="utf-8")).items()}


def write_submission(record: Path, folder: Path, submission: Submission) -> None:
    """Adds a job to the file of its run, in place of an earlier one for the same record."""
    entries = {**read_submissions(folder), record.name: submission}
    with atomic_file(folder / SUBMITTED) as temporary:
        text = json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_queue() -> dict[str, str] | None:
    """Returns the state of each of the user's jobs in SLURM's queue by its id; None on a host without SLURM.

    Raises:
        InputError: squeue fails, perhaps because SLURM's controller does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {done.stderr.strip()}")
    return dict(line.split() for line in done.stdout.splitlines())


def queue_of(folders: Iterable[Path]) -> dict[str, str] | None:
    """Returns `read_queue()` if a job was submitted for any of the runs: SLURM may be installed and not work."""
    return read_queue() if any((folder / SUBMITTED).is_file() for folder in folders) else None


def jobs_in(states: Sequence[str], folder: Path, queue: Mapping[str, str] | None) -> list[str]:
    """Returns the ids of a run's jobs that are in the queue in one of some states."""
    return [entry.job for entry in read_submissions(folder).values() if queue and queue.get(entry.job) in states]
