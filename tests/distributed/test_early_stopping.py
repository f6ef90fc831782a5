"""Two ranks stop a training after the epoch after which one process stops it, also when they were killed in between."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig
from torch import distributed

from tests.distributed.process_group import RANKS, run_in_group
from tests.distributed.test_fsdp import assert_same
from tests.training.given_validation import SIX_EPOCHS, Killed, kill_at_step, trained, validated
from tests.training.small import resolved

RISING, FALLING = (0.0, 0.3, 0.3, 0.4, 0.5, 0.6), (0.5, 0.4, 0.3, 0.1, 0.2, 0.3)
"""Of even and of odd validation rows, so that each rank has one of them.

By their means (0.25, 0.35, 0.3, 0.25, 0.35, 0.45), training stops after epoch 3. By the rising values alone it would
not stop, by the falling ones alone after epoch 2.
"""
RECORDED = ("stopped_after_epoch", "chosen_epoch", "optimizer_steps")

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


@pytest.mark.slow
def test_two_ranks_stop_where_one_process_does(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with validated(RISING, FALLING):
        expected = trained(tmp_path / "one", config)
    run_in_group(_rank, tmp_path, tmp_path)
    assert [expected[name] for name in RECORDED] == [3, 1, 12]
    for strategy in ("ddp", "fsdp"):
        for rank in range(RANKS):
            records = json.loads((tmp_path / f"{strategy}-{rank}.json").read_text())
            assert records == [[3, 1, 12], [3, 1, 12]], (strategy, rank)
        assert_same(tmp_path / strategy, tmp_path / "one")
        assert_same(tmp_path / f"{strategy}-killed", tmp_path / "one")


def _rank(rank: int, root: Path) -> None:
    for strategy in ("ddp", "fsdp"):
        config = _config(root, f"trainer={strategy}", f"trainer.devices={RANKS}")
        killed = root / f"{strategy}-killed"
        with validated(RISING, FALLING) as patch:
            kill_at_step(patch, 10)
            with pytest.raises(Killed):
                trained(killed, config)
        with validated(RISING, FALLING):
            records = [trained(folder, config) for folder in (root / strategy, killed)]
        found = [[record[name] for name in RECORDED] for record in records]
        (root / f"{strategy}-{rank}.json").write_text(json.dumps(found))


def _config(root: Path, *changes: str) -> DictConfig:
    return resolved(root, *SIX_EPOCHS, "trainer.patience=2", *changes)
