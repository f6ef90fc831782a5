"""W&B never ends a run: it goes on offline without a server, and names that W&B refuses are shortened."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmrec.training import loggers
from llmrec.training.loggers import RunLabel, open_loggers
from llmrec.training.progress_bar import TrainingProgress
from tests.training.small import resolved


def test_a_login_without_a_server_goes_on_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(loggers, "INIT_TIMEOUT_S", 1.0)
    caplog.set_level(logging.INFO)
    with open_started(tmp_path, RunLabel("name", ["tag"])) as (_, wandb):
        assert wandb.experiment.offline
    assert "W&B could not start in mode online" in caplog.text
    assert "W&B: offline" in caplog.text


def test_names_that_are_too_long_are_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_RUN_GROUP", "g" * 200)
    label = RunLabel("n" * 200, ["t" * 100, "", "tag"])
    with open_started(tmp_path, label, f"logger.project='a/b{'p' * 200}'") as (_, wandb):
        run = wandb.experiment
        assert (run.name, run.group, set(run.tags)) == ("n" * 128, "g" * 128, {"t" * 64, "tag"})
        assert run.project == ("a-b" + "p" * 200)[:128]


def open_started(root: Path, label: RunLabel, *overrides: str):  # type: ignore[no-untyped-def]
    """The loggers of a run of logger=wandb."""
    folder = root / "0123456789abcdef"
    folder.mkdir()
    return open_loggers(resolved(root, "logger=wandb", *overrides), folder, label)


def test_the_training_bar_shows_loss_and_validation() -> None:
    logged = {"train/loss": 1.5, "valid/ndcg@10": 0.25, "valid/loss": 3.0}
    trainer: Any = SimpleNamespace(progress_bar_metrics=logged, loggers=[SimpleNamespace(version="0")])
    module: Any = None
    assert TrainingProgress().get_metrics(trainer, module) == {"loss": 1.5, "NDCG@10": 0.25}
