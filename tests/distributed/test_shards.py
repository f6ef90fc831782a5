"""Two ranks write their shards of a checkpoint beside its file; the new checkpoint replaces the former one at once."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.checkpoint import HuggingFaceStorageWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from llmrec.collectives import barrier
from llmrec.errors import InputError
from llmrec.training import shards
from llmrec.training.checkpoint_io import AtomicCheckpointIO
from llmrec.training.checkpoints import last_checkpoint, read_checkpoint
from llmrec.training.shards import read_shards, read_whole, write_shards
from tests.damage import DAMAGES
from tests.distributed.process_group import run_in_group

VALUES = {
    "uneven": torch.arange(5.0),
    # The second rank has nothing of it.
    "single": torch.tensor([[7.0, 8.0]]),
    "replicated": torch.tensor([[1.0], [2.0]]),
    "whole": torch.tensor(3.0),
}
"""Weights, of which each is sharded in another way; the optimizer's state is ten times as large."""

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that two ranks wrote."""
    root = tmp_path_factory.mktemp("shards")
    run_in_group(_rank, root, root)
    return root


def test_one_process_reads_whole_tensors(root: Path) -> None:
    checkpoint = read_whole(root / "once" / "last.ckpt")
    assert_times(1, checkpoint)
    assert (checkpoint["epoch"], checkpoint["optimizer_states"][0]["param_groups"]) == (1, [{"lr": 0.5}])


def test_ranks_write_their_own_shards(root: Path) -> None:
    """Of two rows each rank wrote one; what both hold was written once."""
    sizes = json.loads((root / "once" / "checksums.json").read_text())["files"]
    files = sorted(path.name for path in (root / "once" / "last.shards-1").iterdir())
    assert [name[:11] for name in files] == ["shard-00001", "shard-00002"]
    assert sorted(sizes) == ["last.ckpt", *(f"last.shards-1/{name}" for name in files)]


def test_the_file_has_everything_else(root: Path) -> None:
    checkpoint = read_checkpoint(root / "once" / "last.ckpt")
    shapes = {name: tuple(weight.shape) for name, weight in checkpoint["state_dict"].items() if weight.is_meta}
    assert shapes == {"uneven": (5,), "single": (1, 2), "replicated": (2, 1)}
    assert checkpoint["state_dict"]["whole"] == 3


def test_ranks_read_their_own_shards(root: Path) -> None:
    assert json.loads((root / "read-0.json").read_text()) == [[0, 1, 2], [[7, 8]]]
    assert json.loads((root / "read-1.json").read_text()) == [[3, 4], []]


def test_a_checkpoint_replaces_the_former_one(root: Path) -> None:
    assert folders(root / "twice") == ["last.shards-2"]
    assert_times(2, read_whole(root / "twice" / "last.ckpt"))
    assert last_checkpoint(root / "twice", "key")


@pytest.mark.parametrize("folder", ["ended-writing", "ended-before-the-file"])
def test_a_kill_leaves_the_former_checkpoint(folder: str, root: Path) -> None:
    """There are two at most: what the kill left goes before the next one is written."""
    assert json.loads((root / f"{folder}.json").read_text()) == [["last.shards-1", "last.shards-2"], 1]
    assert folders(root / folder) == ["last.shards-2"]
    assert last_checkpoint(root / folder, "key")
    assert_times(3, read_whole(root / folder / "last.ckpt"))


def test_a_full_disk_of_one_rank_is_named_by_all(root: Path) -> None:
    for rank in range(2):
        assert (root / f"full-{rank}.txt").read_text().startswith(f"cannot write {root}/full/last.shards-1: No space")


def test_a_process_that_is_not_sharded_removes_the_shards(root: Path, tmp_path: Path) -> None:
    file = shutil.copytree(root / "once", tmp_path, dirs_exist_ok=True) / "last.ckpt"
    AtomicCheckpointIO("key").save_checkpoint({"epoch": 2}, tmp_path / "best-2.ckpt")
    assert folders(tmp_path) == ["last.shards-1"]
    AtomicCheckpointIO("key").save_checkpoint({"epoch": 2}, file)
    assert folders(tmp_path) == []
    assert last_checkpoint(tmp_path, "key") == file


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_damaged_shard_is_named(damage: Callable[[Path], None], root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "once", tmp_path, dirs_exist_ok=True)
    assert last_checkpoint(tmp_path, "another key") is None
    assert last_checkpoint(tmp_path, "key")
    file = max((tmp_path / "last.shards-1").iterdir())
    damage(file)
    with pytest.raises(InputError, match=rf"{file} is damaged .*Delete the folder {tmp_path}: the same command then"):
        last_checkpoint(tmp_path, "key")


def test_a_damaged_shard_without_checksum_is_named(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "once", tmp_path, dirs_exist_ok=True)
    (tmp_path / "checksums.json").unlink()
    max((tmp_path / "last.shards-1").iterdir()).write_bytes(b"")
    with pytest.raises(InputError, match=rf"last\.shards-1 is damaged .*Delete the folder {tmp_path}: the same"):
        read_whole(tmp_path / "last.ckpt")


def test_a_rank_divides_its_tensors_among_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "FILE_BYTES", 16)
    tensors: Any = {name: Sharded(elements) for name, elements in {"a": 2, "b": 1, "c": 6, "d": 1}.items()}
    # The tensors end at bytes 8, 12, 36 and 40.
    assert shards._file_numbers(tensors) == {"a": 1, "b": 1, "c": 3, "d": 3}


class Sharded:
    """Stands for a sharded tensor with some elements of float32 on this rank."""

    def __init__(self, elements: int) -> None:
        self.elements = elements

    def to_local(self) -> torch.Tensor:
        return torch.zeros(self.elements)


def folders(root: Path) -> list[str]:
    """The names of the folders of shards."""
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def assert_times(factor: float, checkpoint: dict[str, Any]) -> None:
    """Weights are VALUES times a factor, the optimizer's state ten times that."""
    (optimizer,) = checkpoint["optimizer_states"]
    for index, (name, value) in enumerate(VALUES.items()):
        assert torch.equal(checkpoint["state_dict"][name], factor * value), name
        assert torch.equal(optimizer["state"][index]["exp_avg"], 10 * factor * value), name


def _rank(rank: int, root: Path) -> None:
    for folder in ("once", "twice", "ended-writing", "ended-before-the-file"):
        _save(1, root / folder)
    weights = {name: torch.zeros_like(weight) for name, weight in _sharded(1).items()}
    checkpoint = read_checkpoint(root / "once" / "last.ckpt")
    read = read_shards(checkpoint, checkpoint["state_dict"], weights.__getitem__)
    local = [read[name].to_local().tolist() for name in ("uneven", "single")]  # type: ignore[attr-defined]
    (root / f"read-{rank}.json").write_text(json.dumps(local))
    _save(2, root / "twice")
    # Rank 1 ends while rank 0 writes, or both have written.
    with _failing(HuggingFaceStorageWriter, "write_data", Ended() if rank == 1 else None), pytest.raises(Ended):
        _save(2, root / "ended-writing")
    write_shards(_checkpoint(2), root / "ended-before-the-file" / "last.ckpt")
    barrier()
    for folder in (root / "ended-writing", root / "ended-before-the-file"):
        if rank == 0:
            found = [folders(folder), read_checkpoint(folder / "last.ckpt")["epoch"]]
            folder.with_suffix(".json").write_text(json.dumps(found))
        barrier()
        _save(3, folder)
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        _failing(HuggingFaceStorageWriter, "write_data", full if rank == 1 else None),
        pytest.raises(InputError) as raised,
    ):
        _save(1, root / "full")
    (root / f"full-{rank}.txt").write_text(str(raised.value))


class Ended(Exception):
    """Ends a rank."""


@contextmanager
def _failing(owner: type, name: str, error: Exception | None) -> Iterator[None]:
    def fail(*given: Any) -> None:
        assert error
        raise error

    with pytest.MonkeyPatch.context() as patch:
        if error:
            patch.setattr(owner, name, fail)
        yield


def _save(factor: float, folder: Path) -> None:
    """Saves a checkpoint as the ranks of a training do."""
    content = write_shards(_checkpoint(factor), folder / "last.ckpt")
    if distributed.get_rank() == 0:
        AtomicCheckpointIO("key").save_checkpoint(content, folder / "last.ckpt")
    barrier()


def _checkpoint(factor: float) -> dict[str, Any]:
    moments = {index: {"exp_avg": tensor} for index, tensor in enumerate(_sharded(10 * factor).values())}
    optimizer = {"state": moments, "param_groups": [{"lr": 0.5}]}
    return {"epoch": int(factor), "state_dict": _sharded(factor), "optimizer_states": [optimizer]}


def _sharded(factor: float) -> dict[str, torch.Tensor]:
    line, grid = init_device_mesh("cpu", (2,)), init_device_mesh("cpu", (2, 1))
    placed = {"uneven": (line, [Shard(0)]), "single": (line, [Shard(0)]), "replicated": (grid, [Replicate(), Shard(0)])}
    sharded: dict[str, torch.Tensor] = {name: factor * value for name, value in VALUES.items()}
    for name, (mesh, placements) in placed.items():
        sharded[name] = distribute_tensor(sharded[name], mesh, placements)
        assert isinstance(sharded[name], DTensor)
    return sharded
