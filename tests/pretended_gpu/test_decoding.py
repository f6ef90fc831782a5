"""Decoding on the pretended GPU: the CPU's rankings, no mixed devices, and no more waiting than listed here."""

import numpy as np
import pytest

from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import build_trie
from llmrec.decoding import rank
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.decoding.rank_lists import rank_lists
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import EOS, random_backbone, random_prompts, random_titles
from tests.pretended_gpu.device import Waits, pretended_gpu

TRIE, _ = build_trie(random_titles(200, seed=0, quote=None))
PROMPTS = Prompts.joined(random_prompts() * 2)
SETTINGS = {"trie": BeamSearch(10, "trie"), "vocab": BeamSearch(10, "vocab", length_penalty=1.0)}
WAITS = {("trie", False): (20, 2), ("trie", True): (20, 3), ("vocab", False): (40, 2), ("vocab", True): (40, 3)}
"""Syncs and uploads of a batch of titles at most, by scores and by whether titles are excluded.

A step of the search takes 2 syncs, running the model 2 more.
"""
LIST_WAITS = (8, 2)
"""Syncs and uploads of a batch of lists at most; one sync for each slot that the model runs for."""


@pytest.fixture(autouse=True)
def _two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the second batch show what a batch costs, without what is done once."""
    monkeypatch.setitem(rank.MAX_ROWS, "cuda", len(PROMPTS) // 2)


def assert_at_most(batches: list[Waits], syncs: int, uploads: int) -> None:
    assert len(batches) == 2
    assert batches[-1].syncs.total() <= syncs, batches[-1].syncs
    assert batches[-1].uploads.total() <= uploads, batches[-1].uploads


@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("scores", SETTINGS)
def test_ranking_titles(scores: str, excluding: bool) -> None:
    settings, excluded = SETTINGS[scores], None
    if excluding:
        best, _ = rank_titles(random_backbone(seed=0), TRIE, PROMPTS, settings)
        excluded = TRIE.title_leaf.numpy()[best[:, :3]].astype(np.int64)
    titles, points = rank_titles(random_backbone(seed=0), TRIE, PROMPTS, settings, excluded)
    batches: list[Waits] = []
    with pretended_gpu() as gpu:
        backbone = random_backbone(seed=0).to("cuda")
        found, found_points = rank_titles(
            backbone, TRIE, PROMPTS, settings, excluded, progress=lambda _: batches.append(gpu.take_waits())
        )
    np.testing.assert_array_equal(found, titles)
    np.testing.assert_allclose(found_points, points, atol=1e-5)
    assert not gpu.mixing
    assert_at_most(batches, *WAITS[scores, excluding])


def test_ranking_lists() -> None:
    trie = Permutations.of(range(20, 11, -1), EOS)
    expected = rank_lists(random_backbone(seed=3), trie, PROMPTS)
    batches: list[Waits] = []
    with pretended_gpu() as gpu:
        backbone = random_backbone(seed=3).to("cuda")
        found = rank_lists(backbone, trie, PROMPTS, progress=lambda _: batches.append(gpu.take_waits()))
    np.testing.assert_array_equal(found, expected)
    assert not gpu.mixing
    assert_at_most(batches, *LIST_WAITS)
