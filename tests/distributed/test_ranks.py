"""Work divided among ranks before training is the work of one."""

import pickle
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, distributed

from llmrec import collectives
from llmrec.collectives import all_ranks_agree, all_reduce_gradients, map_across_ranks
from llmrec.datasets.dataset import Rows
from llmrec.decoding.open_backbone import build_backbone
from llmrec.objectives.rejected.self_hard import SelfHard
from llmrec.tasks import parts
from tests.backbones.test_load import NONE
from tests.backbones.test_tiny import TEXTS, settings
from tests.distributed.process_group import RANKS, run_in_group
from tests.invariants.world import CONFIG, ROWS, preparation_of, small_dataset

OPENED = {"trust_remote_code": False, "attention": "sdpa", "dtype": "auto"}
TRAINER = {"trainer": {"accelerator": "cpu", "precision": "auto"}}

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


def squares(rows: np.ndarray) -> np.ndarray:
    """int64 [n, 2]: each row's number and its square."""
    return np.stack([rows, rows**2], axis=1)


def test_one_rank_does_it_all() -> None:
    assert map_across_ranks(3, squares).tolist() == [[0, 0], [1, 1], [2, 4]]
    assert (all_ranks_agree(True), all_ranks_agree(False)) == (True, False)


def test_two_ranks_find_what_one_finds(tmp_path: Path) -> None:
    run_in_group(_rank, tmp_path, tmp_path)
    for rank in range(RANKS):
        found = pickle.loads((tmp_path / f"{rank}.pickle").read_bytes())
        # Five rows do not divide, and of one row the second rank has none.
        assert [part.tolist() for part in found["divided"]] == [squares(np.arange(n)).tolist() for n in (5, 1)]
        assert found["agreed"] == [True, False]
        # Rank 0 has ones and rank 1 twos, times the number of the gradient.
        assert found["gradients"] == [[3.0] * 3, [[6.0] * 2] * 2, [9.0] * 9, [12.0]]
        assert found["messages"] == [7, 9, 1]
        expected = SelfHard().sample(preparation_of(tmp_path / "one"), np.arange(len(ROWS)), 2)
        assert found["self_hard"].tolist() == expected.tolist()
        assert found["rows_searched"] == [4, 4][rank]
        assert found["tiny"] == 400 * 16
        # Of the parts of three rows the second is gone, so that the ranks rank it again.
        assert found["parts"] == [[item**2 for item in ROWS.target]] * 2
        assert found["ranked"] == [[3, 3, 2], [3]]


def _reduced_gradients(rank: int) -> dict[str, Any]:
    """Gradients that are summed in messages of at most 8 elements, and the elements of each message."""
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3,), (2, 2), (9,), (1,))]
    for number, weight in enumerate(weights, start=1):
        weight.grad = torch.full_like(weight, (rank + 1.0) * number)
    messages: list[int] = []

    def all_reduce(tensor: Tensor) -> None:
        messages.append(tensor.numel())
        distributed.all_reduce(tensor)

    with (
        mock.patch.object(collectives, "MESSAGE_ELEMENTS", 8),
        mock.patch.object(collectives, "distributed", mock.Mock(wraps=distributed, all_reduce=all_reduce)),
    ):
        all_reduce_gradients(weights)
    return {"gradients": [weight.grad.tolist() for weight in weights], "messages": messages}


def _rank(rank: int, folder: Path) -> None:
    found = {
        "divided": [map_across_ranks(rows, squares) for rows in (5, 1)],
        "agreed": [all_ranks_agree(True), all_ranks_agree(rank == 0)],
    }
    found |= _reduced_gradients(rank)
    sampler = _Counting()
    found["self_hard"] = sampler.sample(preparation_of(folder / f"cache-{rank}"), np.arange(len(ROWS)), 2)
    found["rows_searched"] = sampler.searched
    found |= _ranked_in_parts(folder)
    if rank == 0:
        # The other one comes first, which must not be the one that saves.
        time.sleep(1)
    tiny = OmegaConf.merge(
        CONFIG, {"task": {"name": "next_item"}, "backbone": settings(**OPENED), "adapter": NONE} | TRAINER
    )
    backbone = build_backbone(tiny, small_dataset(), TEXTS, folder / "shared")
    found["tiny"] = backbone.causal_lm.get_input_embeddings().weight.numel()
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))


def _ranked_in_parts(folder: Path) -> dict[str, Any]:
    """A ranking in parts, then one that finds all but the second part, with the sizes of the parts that were ranked."""
    found: dict[str, Any] = {"parts": [], "ranked": []}
    for _ in range(2):
        sizes: list[int] = []

        def rank(rows: Rows, sizes: list[int] = sizes) -> pa.Table:
            sizes.append(len(rows))
            return pa.table({"square": map_across_ranks(len(rows), lambda part: rows.target[part] ** 2)})

        with mock.patch.object(parts, "PART_ROWS", 3):
            table = parts.ranked_in_parts(ROWS, folder / "parts", rank, lambda done: None)
        found["parts"].append(table["square"].to_pylist())
        found["ranked"].append(sizes)
        distributed.barrier()
        (folder / "parts" / "3.parquet").unlink(missing_ok=True)
        distributed.barrier()
    return found


class _Counting(SelfHard):
    """Counts the rows whose beams it searches."""

    searched = 0

    def _search(self, preparation: object, rows: np.ndarray, *others: object) -> np.ndarray:
        self.searched += len(rows)
        return super()._search(preparation, rows, *others)  # type: ignore[arg-type]
