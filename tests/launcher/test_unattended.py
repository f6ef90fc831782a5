"""Sweeps that are left to SLURM's queue, as far as no cluster is needed; tests/slurm has the others."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.launcher.unattended import arrays
from llmrec.status import _status
from llmrec.training.progress import read_progress
from llmrec.training.run_folder import RunFolder
from llmrec.training.submitted import Submission, read_queue, read_submissions, write_submission


def test_jobs_that_wait_for_the_same_ones_are_an_array() -> None:
    waits = {1: [], 2: [1], 3: [], 4: [1, 3], 5: [1], 6: [5]}
    assert list(arrays(waits)) == [((), [1, 3]), ((1,), [2, 5]), ((1, 3), [4]), ((5,), [6])]


def test_a_run_keeps_the_jobs_of_its_rankings(tmp_path: Path) -> None:
    first, second, later = Submission("7", []), Submission("8_0", ["runs/sft"]), Submission("9", [])
    write_submission(tmp_path / "rankings" / "a", tmp_path, first)
    write_submission(tmp_path / "rankings" / "b", tmp_path, second)
    assert read_submissions(tmp_path) == {"a": first, "b": second}
    write_submission(tmp_path / "rankings" / "a", tmp_path, later)
    assert read_submissions(tmp_path) == {"a": later, "b": second}


def submitted_run(root: Path, name: str, job: str, *stages: Path) -> RunFolder:
    """A run whose job was submitted and has not begun."""
    run = RunFolder(root / name)
    run.folder.mkdir()
    write_submission(run.folder / "rankings" / "key", run.folder, Submission(job, [str(stage) for stage in stages]))
    return run


def test_a_submitted_run_is_queued_then_running_or_skipped_when_its_stage_failed(tmp_path: Path) -> None:
    stage = submitted_run(tmp_path, "stage", "3_0")
    run = submitted_run(tmp_path, "run", "4", stage.folder)
    pending = {"3_0": "PENDING", "4": "PENDING"}
    assert [str(read_progress(each, pending)) for each in (stage, run)] == ["SLURM job 3_0", "SLURM job 4"]
    running = {"3_0": "RUNNING", "4": "PENDING"}
    assert [read_progress(each, running).state for each in (stage, run)] == ["running", "queued"]
    # No queue is known on this host.
    assert [read_progress(each, None).state for each in (stage, run)] == ["queued", "queued"]
    stage.failure.write_text("python -m llmrec.run\nValueError: a bug (exit status 1; its output: job.log)\n")
    ended = read_progress(stage, {})
    assert (ended.state, str(ended)) == ("failed", "ValueError: a bug (exit status 1; its output: job.log)")
    assert read_progress(run, {}).state == "skipped"
    assert str(read_progress(run, {})) == f"its stage {stage.folder} is not trained"
    stage.failure.unlink()
    (stage.folder / "training.json").touch()
    # It was taken out of the queue before it began.
    assert read_progress(run, {}).state == "interrupted"


def test_status_lists_what_is_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    squeue = programs / "squeue"
    squeue.write_text('#!/bin/sh\necho "12_3 PENDING"\n')
    squeue.chmod(0o755)
    (tmp_path / "runs").mkdir()
    run = submitted_run(tmp_path / "runs", "sft", "12_3")
    _status([str(tmp_path / "runs")])
    output = capsys.readouterr()
    assert output.out.split() == ["queued", "SLURM", "job", "12_3", str(run.folder)]
    assert output.err == "1 queued\n"
    squeue.write_text('#!/bin/sh\necho "slurm_load_jobs error: Unable to contact slurm controller" >&2\nexit 1\n')
    with pytest.raises(InputError, match=r"squeue --me .*: slurm_load_jobs error: Unable to contact"):
        read_queue()
