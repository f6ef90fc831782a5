"""On a GPU: the same rankings as on the CPU in float32, and batches sized to the memory that is really free."""

import numpy as np
import pytest
import torch

from llmrec.backbones.memory import free_bytes
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import _rows_that_fit, rank_titles, run_in_batches
from tests.decoding.small import random_backbone, random_prompts, random_titles
from tests.decoding.test_rank import as_prompts

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_ranks_as_on_the_cpu(scores: str, penalty: float) -> None:
    trie, _ = build_trie(random_titles(200, seed=0, quote=None))
    settings = BeamSearch(10, scores, penalty)
    found = {
        device: rank_titles(random_backbone(seed=0).to(device), trie, as_prompts(random_prompts()), settings)
        for device in ("cpu", "cuda")
    }
    np.testing.assert_array_equal(found["cpu"][0], found["cuda"][0])
    np.testing.assert_allclose(found["cpu"][1], found["cuda"][1], atol=1e-4)


def test_memory_that_was_freed_before_makes_no_batch_smaller() -> None:
    backbone = random_backbone(seed=0).to("cuda")
    before = _rows_that_fit(500, backbone, 10, 100), free_bytes(backbone.device)
    # torch keeps it, and the driver counts it as taken.
    taken = torch.empty(before[1] // 2, dtype=torch.uint8, device="cuda")
    del taken
    assert _rows_that_fit(500, backbone, 10, 100) >= 0.99 * before[0]
    torch.cuda.empty_cache()


def test_where_memory_runs_out_batches_are_halved() -> None:
    backbone, sizes = random_backbone(seed=0).to("cuda"), []

    def run(rows: np.ndarray) -> None:
        sizes.append(len(rows))
        torch.empty((len(rows) // 5) << 40, dtype=torch.uint8, device="cuda")

    run_in_batches(np.full(20, 9), backbone, beams=2, appended=4, run=run)
    assert sizes == [20, 10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
