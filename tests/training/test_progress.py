"""How far runs are, from the files in their folders: `llmrec.status`."""

import json
import os
import time
from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.status import _status, runs_below
from llmrec.training.module import Recommender
from llmrec.training.progress import read_progress
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder
from tests.training.small import composed


class Interrupted(Exception):
    """Ends a training."""


def run(root: Path, cache: Path) -> None:
    """Trains 3 steps in each of 2 epochs."""
    with composed(root, f"paths.cache={cache}", "trainer.epochs=2", "evaluation.splits=[valid]") as config:
        run_configuration(config)


def test_an_interrupted_run_is_in_its_step_until_it_is_done(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take_step = Recommender._take_step

    def fails_in_the_fifth(module: Recommender, step: object) -> None:
        if module.global_step == 4:
            raise Interrupted
        take_step(module, step)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "_take_step", fails_in_the_fifth)
        with pytest.raises(Interrupted):
            run(tmp_path, cache)
    (found,) = runs_below(tmp_path / "runs")
    progress = read_progress(found, None)
    assert (progress.state, progress.doing, progress.step, progress.steps) == ("interrupted", "training", 4, 6)
    assert progress.seconds_left is None
    run(tmp_path, cache)
    # It went on after the last checkpoint, which is that of the first epoch.
    assert json.loads((found.folder / "progress.json").read_text())["resumed_at"] == 3
    assert read_progress(found, None).state == "done"
    capsys.readouterr()
    _status([str(tmp_path / "runs")])
    output = capsys.readouterr()
    assert output.out.split() == ["done", str(found.folder)]
    assert output.err == "1 done\n"


def test_the_expected_end_is_at_the_speed_since_the_start(tmp_path: Path) -> None:
    """From step 10 on, 20 steps took 40 seconds, so the 70 that are left take 140."""
    started = {"steps": 100, "resumed_at": 10, "time": time.time() - 40}
    (tmp_path / "progress.json").write_text(json.dumps(started))
    rows = [f"{step},train/{name},0.5" for step in range(30) for name in ("loss", "gradient_norm")]
    (tmp_path / "curves.csv").write_text("\n".join(["step,metric,value", *rows, "30,train/lo"]))
    with RunFolder(tmp_path).lock():
        progress = read_progress(RunFolder(tmp_path), None)
    assert (progress.state, progress.step, progress.steps) == ("running", 30, 100)
    assert progress.seconds_left == pytest.approx(140, rel=0.05)


def test_states_before_and_after_training(tmp_path: Path) -> None:
    run_folder = RunFolder(tmp_path)
    with run_folder.lock():
        assert (read_progress(run_folder, None).state, read_progress(run_folder, None).doing) == (
            "running",
            "preparing",
        )
    run_folder.failure.write_text("python -m llmrec.run objective=sft\nexit status 2; its output: job.log\n")
    assert read_progress(run_folder, None).reason == "exit status 2; its output: job.log"
    with run_folder.lock():
        # Another job has started since.
        assert read_progress(run_folder, None).state == "running"
    run_folder.failure.unlink()
    (tmp_path / "training.json").write_text("{}")
    assert (read_progress(run_folder, None).state, read_progress(run_folder, None).doing) == ("interrupted", "ranking")


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        _status([str(tmp_path / "none")])
    with pytest.raises(InputError, match="give one folder"):
        _status(["a", "b"])
    os.mkdir(tmp_path / "empty")
    assert runs_below(tmp_path / "empty") == []
