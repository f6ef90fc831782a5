"""Ranking for many prompts: batches, order of rows, excluded histories."""

from types import SimpleNamespace

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.catalogue.trie import build_trie
from llmrec.datasets.dataset import Rows
from llmrec.decoding import rank
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.catalogue_decoder import BeamSearchDecoder
from llmrec.decoding.rank import history_leaves, rank_titles
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import EOS, found, random_backbone, random_prompts, random_titles, token_titles

TRIE, _ = build_trie(random_titles(60, seed=2, quote=None))
SETTINGS = BeamSearch(5)


def as_prompts(prompts: list[np.ndarray]) -> Prompts:
    """Converts a list of prompts to `Prompts`."""
    offsets = np.concatenate([[0], np.cumsum([len(prompt) for prompt in prompts])]).astype(np.int64)
    return Prompts(np.concatenate([np.zeros(0, dtype=np.int32), *prompts]).astype(np.int32), offsets)


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_rows_come_back_in_their_order(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for one row per batch and for all rows."""
    monkeypatch.setattr(rank, "CPU_MEMORY_BYTES", memory)
    backbone, prompts, sizes = random_backbone(seed=2), random_prompts() * 2, []
    titles, scores = rank_titles(backbone, TRIE, as_prompts(prompts), SETTINGS, progress=sizes.append)
    assert sizes == ([1] * 8 if memory == 1 else [8])
    for prompt, row, points in zip(prompts, titles, scores, strict=True):
        ((alone, alone_points),) = found(backbone, TRIE, [prompt], SETTINGS)
        assert row.tolist() == alone
        assert points.tolist() == pytest.approx(alone_points, abs=1e-4)


def test_batches_of_the_plain_path_are_sized_by_its_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, prompts, sizes = random_backbone(seed=2), [random_prompts()[0]] * 8, []
    backbone.uses_plain_path = True
    tokens = len(prompts[0]) + SETTINGS.appended_tokens(TRIE) // 5
    # Five beams, each with eight bytes of its 64 widest activations and float32 logits of 32 tokens at every position.
    monkeypatch.setattr(rank, "CPU_MEMORY_BYTES", 3 * 5 * tokens * (8 * 64 + 4 * 32))
    rank_titles(backbone, TRIE, as_prompts(prompts), SETTINGS, progress=sizes.append)
    assert sizes == [3, 3, 2]


@pytest.mark.parametrize("kept", [slice(0, 4), slice(0, 3), slice(1, 5), slice(0, 0), slice(0, 50)])
def test_a_kept_start_changes_no_results(kept: slice) -> None:
    """With the tokens that all prompts begin with, fewer of them, others, none, and a whole prompt."""
    backbone, prompts = random_backbone(seed=2), random_prompts()
    start = SharedPrefix(backbone, prompts[3][kept])
    for some in (prompts, prompts[3:], prompts[:1], prompts[:2]):
        titles, scores = rank_titles(backbone, TRIE, as_prompts(some), SETTINGS)
        again, points = rank_titles(backbone, TRIE, as_prompts(some), SETTINGS, start=start)
        assert again.tolist() == titles.tolist()
        np.testing.assert_allclose(points, scores, rtol=1e-6)


def test_a_prepared_decoder_runs_what_prompts_begin_with_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, prompts, run = random_backbone(seed=2), random_prompts(), list[int]()
    extend = backbone.extend
    monkeypatch.setattr(backbone, "extend", lambda *given: (run.append(given[1].numel()), extend(*given))[1])
    decoder = BeamSearchDecoder(beams=5)
    decoder.prepare(SimpleNamespace(backbone=backbone, prompt_start=prompts[0][:4]))  # type: ignore[arg-type]
    first, second = [decoder.rank(backbone, TRIE, as_prompts([prompt]))[0] for prompt in prompts[:2]]
    assert run[:2] == [4, 3]
    assert run.count(9) == 1
    titles, _ = rank_titles(backbone, TRIE, as_prompts(prompts[:2]), SETTINGS)
    assert np.concatenate([first, second]).tolist() == titles.tolist()


def test_no_prompts() -> None:
    titles, scores = rank_titles(random_backbone(seed=2), TRIE, as_prompts([]), SETTINGS)
    assert titles.shape == scores.shape == (0, 5)


def test_excluded_titles_stay_with_their_rows() -> None:
    """Batches are ordered by length, and the excluded titles must stay with their rows."""
    backbone, prompts = random_backbone(seed=2), as_prompts(random_prompts())
    best, _ = rank_titles(backbone, TRIE, prompts, SETTINGS)
    excluded = TRIE.title_leaf.numpy()[best].astype(np.int64)
    titles, _ = rank_titles(backbone, TRIE, prompts, SETTINGS, excluded)
    for row, left_out in zip(titles, best, strict=True):
        assert (row >= 0).all()
        assert not set(row.tolist()) & set(left_out.tolist())


def test_more_beams_than_titles_are_padded() -> None:
    trie, _ = build_trie(token_titles([(3, EOS), (4, 5, EOS)]))
    titles, scores = rank_titles(random_backbone(seed=2), trie, as_prompts(random_prompts()), SETTINGS)
    assert (titles[:, 2:] == -1).all()
    assert (scores[:, 2:] == -np.inf).all()
    assert np.sort(titles[:, :2]).tolist() == [[0, 1]] * 4


def test_history_leaves() -> None:
    """Leaves are distinct despite repeated items, items with the same title and titles with equal tokens."""
    items = Items(ids=list("abcd"), titles=["one", "two", "one", "three"])
    # The tokenizer makes "one" (title 0) and "three" (title 2) equal.
    trie, _ = build_trie(token_titles([(4, EOS), (3, EOS), (4, EOS)]))
    one, two = trie.title_leaf.tolist()[:2]
    rows = Rows(
        user=np.array(["u", "v", "w"]),
        history=np.array([0, 1, 2, 3, 0, 1, 1], dtype=np.int32),
        offsets=np.array([0, 4, 4, 7]),
        target=np.zeros(3, dtype=np.int32),
        timestamp=np.zeros(3, dtype=np.int64),
    )
    table = history_leaves(rows, items, trie)
    assert table.dtype == np.int64
    assert [sorted(row) for row in table.tolist()] == [sorted([one, two]), [-1, -1], sorted([one, two])]


def test_history_leaves_without_histories() -> None:
    items = Items(ids=["a"], titles=["one"])
    trie, _ = build_trie(token_titles([(4, EOS)]))
    none = np.zeros(0, dtype=np.int32)
    rows = Rows(np.zeros(0, dtype=str), none, np.zeros(1, dtype=np.int64), none, none.astype(np.int64))
    assert history_leaves(rows, items, trie).shape == (0, 1)


def test_room_for_what_beams_append() -> None:
    """19 titles are unique after one token, two after five; on a CPU the capacity suffices for the longest, of six."""
    titles = [(number, 60, EOS) for number in range(3, 22)] + [(22, 61, 62, 63, 64, EOS)]
    trie, _ = build_trie(token_titles([*titles, (22, 61, 62, 63, 65, EOS)]))
    assert sorted(trie.unique_depth.tolist()) == [1] * 19 + [5, 5]
    assert BeamSearch(10, "trie").appended_tokens(trie) == BeamSearch(10, "vocab", 1.0).appended_tokens(trie) == 60
