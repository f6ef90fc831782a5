"""Trainings that go wrong: NaN, a full disk, folders that cannot be written. What was good stays."""

import errno
import os
import sys
from pathlib import Path

import pytest
import torch

from llmrec import run
from llmrec.errors import InputError
from llmrec.training import checkpoints
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.training.small import composed

NAN = ("objective=sft", "objective._target_=tests.training.failing.NanAt")


def test_nan_loss_stops_the_training_at_its_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, cache: Path
) -> None:
    with composed(tmp_path, f"paths.cache={cache}", *NAN, "+objective.step=4", "+objective.where=loss") as config:
        with pytest.raises(InputError, match=r"the loss became nan at step 4 \(epoch 1\).*checkpoint is kept"):
            run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    kept = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 3
    assert all(weight.isfinite().all() for weight in kept["state_dict"].values())
    assert not run.trained


def test_nan_gradient_never_reaches_the_weights(tmp_path: Path, cache: Path) -> None:
    # The last step of the last epoch: no later loss would tell.
    arguments = (*NAN, "+objective.step=5", "+objective.where=gradient")
    with composed(tmp_path, f"paths.cache={cache}", *arguments) as config:
        with pytest.raises(InputError, match=r"gradient .* nan at step 5"):
            run_configuration(config)
        assert not RunFolder(tmp_path / "runs" / run_path(config)).trained


def test_full_disk_while_a_checkpoint_is_written_is_an_error_with_its_remedy(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with composed(tmp_path, f"paths.cache={cache}") as config:
        monkeypatch.setattr(checkpoints.torch, "save", no_space)
        with pytest.raises(InputError, match=r"cannot write .*checkpoints.*No space left on device"):
            run_configuration(config)
        assert not RunFolder(tmp_path / "runs" / run_path(config)).trained


def test_full_disk_while_evaluating_keeps_the_old_record(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with composed(tmp_path, f"paths.cache={cache}", "trainer.epochs=1") as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    (record,) = (run.folder / "rankings").glob("*/metrics.json")
    before = record.read_bytes()
    other = run.config()
    other.decoding.beams = 3
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _no_space)
        with pytest.raises(InputError, match=r"cannot write .*No space left on device.*LLMREC_RUNS"):
            evaluate_again(run, other)
    assert record.read_bytes() == before
    files = [path for path in (run.folder / "rankings").rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {record.parent}

    evaluate_again(run, other)
    assert len(list((run.folder / "rankings").glob("*/metrics.json"))) == 2


def test_full_disk_before_training_is_an_error_with_its_remedy(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with composed(tmp_path, f"paths.cache={cache}", "seed=7") as config:
        monkeypatch.setattr(os, "fsync", _no_space)
        with pytest.raises(InputError, match=r"cannot write .*Free some space"):
            run_configuration(config)


def test_full_disk_outside_of_a_run_is_named_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As where Hydra writes the config, or a launcher a job's log.
    def full() -> None:
        _no_space(1)

    monkeypatch.setattr(sys, "argv", ["llmrec"])
    monkeypatch.setattr(run, "_run", full)
    with pytest.raises(SystemExit, match="2"):
        run.main()
    said = capsys.readouterr().err
    assert said.startswith("llmrec: cannot write ")
    assert "No space left on device. Free some space" in said


def test_cache_that_cannot_be_written_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    # Tests may run as root, whom no permission stops; a file in the folder's place stops anyone.
    (tmp_path / "file").touch()
    with (
        composed(tmp_path, f"paths.cache={tmp_path / 'file' / 'cache'}") as config,
        pytest.raises(InputError, match=rf"cannot write {tmp_path / 'file' / 'cache'}.*paths\.cache"),
    ):
        run_configuration(config)


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
