"""Two ranks that end inside an epoch resume from their last step and end as two that did not, also with FSDP.

With FSDP, one process can go on from the checkpoint of two ranks, and two ranks from that of one process.
"""

import json
import signal
from pathlib import Path
from types import FrameType

import pytest
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import distributed, testing

from llmrec.training.checkpoints import SHARDS, read_checkpoint
from llmrec.training.module import Recommender
from tests.distributed.process_group import RANKS, run_in_group
from tests.distributed.test_fsdp import assert_same
from tests.training.given_validation import TAKE_STEP, Killed, curves, kill_at_step, trained, validated
from tests.training.small import resolved

SETTINGS = (
    "objective=gdrt", "objective.group_count=3", "trainer.batch_size=8", "trainer.epochs=2", "trainer.warmup_steps=2",
    "trainer.learning_rate=1e-3", "trainer.checkpoint_steps=2",
)  # fmt: skip
"""Two epochs of six steps."""
STRATEGIES = {"ddp": ("adapter=lora", "adapter.dropout=0.3"), "fsdp": ()}

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


@pytest.mark.slow
def test_two_ranks_resume_from_their_step(tmp_path: Path) -> None:
    # The model is pretrained before the ranks need it.
    with validated((0.1, 0.2)):
        trained(tmp_path / "one", _config(tmp_path, "trainer.epochs=1"))
    alone = _config(tmp_path)
    _train_until_step_11(tmp_path / "one-two", alone)
    run_in_group(_rank, tmp_path, tmp_path)
    with validated((0.1, 0.2)):
        assert trained(tmp_path / "two-one", alone)["timed_epochs"] == 2 / 6
    for strategy in STRATEGIES:
        for rank in range(RANKS):
            found = json.loads((tmp_path / f"{strategy}-{rank}.json").read_text())
            # The signal came in step 3 of the first epoch, to rank 1 alone; the exception before step 11.
            assert found == {"saved": [4, 10], "epochs": [2.0, 2 / 6]}, (strategy, rank)
        resumed, whole = (tmp_path / f"{strategy}{name}" for name in ("-ended", ""))
        assert curves(resumed) == pytest.approx(curves(whole), rel=1e-6, abs=1e-8)
        files = [next((run / "weights").glob("*.safetensors")) for run in (resumed, whole)]
        weights, expected = map(load_file, files)
        assert weights.keys() == expected.keys()
        for name, weight in expected.items():
            testing.assert_close(weights[name], weight, rtol=1e-6, atol=1e-6, msg=name)
    for run in ("one-two", "two-one"):
        assert_same(tmp_path / run, tmp_path / "fsdp")


class Ended(Exception):
    """What SIGTERM raises."""


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def _rank(rank: int, root: Path) -> None:
    signal.signal(signal.SIGTERM, _end)
    for strategy, changes in STRATEGIES.items():
        config = _ranks_config(root, strategy, *changes)
        folder, last = root / f"{strategy}-ended", root / f"{strategy}-ended" / "checkpoints" / "last.ckpt"
        saved = []
        with validated((0.1, 0.2)) as patch:
            if rank == 1:
                patch.setattr(Recommender, "training_step", _signal_in_step_3)
            with pytest.raises(Ended):
                trained(folder, config)
            saved.append(read_checkpoint(last)["global_step"])
        _train_until_step_11(folder, config)
        saved.append(read_checkpoint(last)["global_step"])
        with validated((0.1, 0.2)):
            records = [trained(run, config) for run in (root / strategy, folder)]
        found = {"saved": saved, "epochs": [record["timed_epochs"] for record in records]}
        (root / f"{strategy}-{rank}.json").write_text(json.dumps(found))
    fsdp = _ranks_config(root, "fsdp")
    _train_until_step_11(root / "two-one", fsdp)
    assert SHARDS in read_checkpoint(root / "two-one" / "checkpoints" / "last.ckpt")
    with validated((0.1, 0.2)):
        assert trained(root / "one-two", fsdp)["timed_epochs"] == 2 / 6


def _train_until_step_11(folder: Path, config: DictConfig) -> None:
    """The last checkpoint is that of step 10, in the second epoch."""
    with validated((0.1, 0.2)) as patch:
        kill_at_step(patch, 11)
        with pytest.raises(Killed):
            trained(folder, config)


def _signal_in_step_3(module: Recommender, step: object, place: int) -> None:
    if module.global_step == 3:
        signal.raise_signal(signal.SIGTERM)
    TAKE_STEP(module, step, place)  # type: ignore[arg-type]


def _ranks_config(root: Path, strategy: str, *changes: str) -> DictConfig:
    return _config(root, f"trainer={strategy}", f"trainer.devices={RANKS}", *changes)


def _config(root: Path, *changes: str) -> DictConfig:
    return resolved(root, *SETTINGS, *changes)
