"""Checkpoints carry the key of their training."""

import logging
from pathlib import Path

import pytest
import torch

from llmrec.training.checkpoints import AtomicCheckpointIO, last_checkpoint, read_checkpoint


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
