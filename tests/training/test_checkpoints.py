"""Checkpoints carry the key of their training."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from llmrec.training.checkpoint_io import AtomicCheckpointIO
from llmrec.training.checkpoints import last_checkpoint, read_checkpoint
from llmrec.training.module import Recommender


def test_a_checkpoint_of_the_same_key_is_resumed(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO("a key").save_checkpoint({"state": torch.ones(2)}, file)
    assert last_checkpoint(tmp_path, "a key") == file
    assert torch.equal(read_checkpoint(file)["state"], torch.ones(2))


def test_a_checkpoint_of_another_key_is_not_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    AtomicCheckpointIO("another key").save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        assert last_checkpoint(tmp_path, "a key") is None
    assert "last.ckpt is the checkpoint of another training" in caplog.text


def test_without_a_checkpoint_nothing_is_resumed(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path, "a key") is None


def test_trained_weights_keep_the_models_order() -> None:
    # Ranks gather sharded weights one after another, each in the order of its own checkpoint.
    model: Any = nn.ModuleDict({name: nn.Linear(1, 1) for name in "zyxwvutsrqponmlkjihgfedcba"})
    model["m"].requires_grad_(False)
    model.largest_micro_batch = 0
    checkpoint: dict[str, Any] = {"state_dict": model.state_dict()}
    Recommender.on_save_checkpoint(model, checkpoint)
    assert list(checkpoint["state_dict"]) == [name for name in model.state_dict() if not name.startswith("m.")]
