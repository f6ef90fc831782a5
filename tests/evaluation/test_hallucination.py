"""Semantic hallucination, worked out by hand on five titles and for recommenders with a known share."""

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.evaluation import hallucination
from llmrec.evaluation.hallucination import judge_top1_titles, similarity_to_history
from tests.evaluation.small import EMBEDDINGS, ITEMS, rows_of

MANY = Items([str(item) for item in range(2000)], [f"title {item}" for item in range(2000)])


def many_embeddings() -> np.ndarray:
    """Random directions, one for each of MANY."""
    vectors = np.random.default_rng(1).normal(size=(2000, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def many_rows(count: int) -> Rows:
    """Histories of one to five random titles of MANY; the target of all is title 0, which stands in none."""
    generator = np.random.default_rng(2)
    return rows_of(*((generator.integers(1, 2000, generator.integers(1, 6)).tolist(), 0) for _ in range(count)))


def measured(recommended: list[int], *pairs: tuple[list[int], int]) -> dict[str, float]:
    """Returns the metrics of lists of one title for (history, target) pairs of ITEMS."""
    rows = rows_of(*pairs)
    lists = np.array(recommended, dtype=np.int32)[:, None]
    return judge_top1_titles(lists, ITEMS.title_of[rows.target], rows, ITEMS, EMBEDDINGS).metrics()


def test_similarity_is_the_largest_cosine_to_a_title_of_the_history() -> None:
    # Items d and a are both Anno.
    rows = rows_of(([3], 0), ([4, 2, 1], 0), ([4], 0), ([1, 0], 0))
    similarity = similarity_to_history(np.array([2, 0, 0, 0]), rows, ITEMS, EMBEDDINGS)
    assert similarity.tolist() == pytest.approx([0.8, 0.8, -1, 1])


def test_by_hand() -> None:
    # The history is Elite: the four other titles have cosine 0. Elite itself has cosine 1 and is in no random pair.
    found = measured([0, 4, 1], ([5], 1), ([5], 1), ([5], 1))
    assert found == pytest.approx(
        {"semantic_share": 1 / 2, "wrong_top1": 2, "threshold": 0, "mean_similarity": 1 / 2, "repeated": 1 / 2}
    )


def test_what_is_right_or_absent_or_has_no_history_is_left_out() -> None:
    pairs = (([1], 2), ([1], 2), ([1], 2), ([], 2))
    found = measured([4, 2, -1, 4], *pairs)
    assert found["wrong_top1"] == 1
    assert found["mean_similarity"] == 0
    assert measured([2, 2, -1, 4], *pairs) == {}


def test_only_the_first_title_counts() -> None:
    rows = rows_of(([1], 2))
    lists = np.array([[2, 0, 1]], dtype=np.int32)
    assert judge_top1_titles(lists, np.array([2]), rows, ITEMS, EMBEDDINGS).metrics() == {}


def test_the_target_is_the_title_that_counts_as_a_hit() -> None:
    """It can differ from the target item's own title, because a tokenizer can map two titles to the same tokens."""
    rows = rows_of(([1], 2))
    assert judge_top1_titles(np.array([[0]]), np.array([0]), rows, ITEMS, EMBEDDINGS).metrics() == {}


def test_random_titles_have_a_share_of_one_in_twenty() -> None:
    rows = many_rows(6000)
    lists = np.random.default_rng(3).integers(1, 2000, (6000, 1))
    found = judge_top1_titles(lists, np.zeros(6000), rows, MANY, many_embeddings()).metrics()
    # Three standard errors of a share of 0.05 of 6,000, and as much again for the threshold.
    assert found["semantic_share"] == pytest.approx(0.05, abs=0.015)
    assert found["wrong_top1"] == 6000
    assert found["repeated"] < 0.01


def test_neighbours_of_the_history_exceed_what_random_titles_reach() -> None:
    rows, embeddings = many_rows(300), many_embeddings()
    cosines = embeddings[rows.history[rows.offsets[1:] - 1]] @ embeddings.T
    nearest = np.argsort(-cosines, axis=1)
    found = judge_top1_titles(nearest[:, 1:2], np.zeros(300), rows, MANY, embeddings).metrics()
    assert found["semantic_share"] > 0.95
    assert found["mean_similarity"] > found["threshold"]
    repeating = judge_top1_titles(nearest[:, :1], np.zeros(300), rows, MANY, embeddings).metrics()
    assert repeating["semantic_share"] == repeating["repeated"] == repeating["mean_similarity"] == 1


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, lists = many_rows(100), np.random.default_rng(3).integers(1, 2000, (100, 1))
    whole = judge_top1_titles(lists, np.zeros(100), rows, MANY, many_embeddings()).metrics()
    monkeypatch.setattr(hallucination, "CHUNK_ROWS", 7)
    assert judge_top1_titles(lists, np.zeros(100), rows, MANY, many_embeddings()).metrics() == pytest.approx(whole)


def test_permuting_users_changes_nothing_but_the_sample() -> None:
    rows, lists = many_rows(500), np.random.default_rng(3).integers(1, 2000, (500, 1))
    order = np.random.default_rng(4).permutation(500)
    found = judge_top1_titles(lists, np.zeros(500), rows, MANY, many_embeddings()).metrics()
    permuted = judge_top1_titles(lists[order], np.zeros(500), rows.take(order), MANY, many_embeddings()).metrics()
    assert permuted["threshold"] == pytest.approx(found["threshold"], abs=0.01)
    assert permuted["semantic_share"] == pytest.approx(found["semantic_share"], abs=0.01)
    for name in ("wrong_top1", "mean_similarity", "repeated"):
        assert permuted[name] == pytest.approx(found[name])


def test_the_threshold_is_of_the_rows_and_not_of_what_is_recommended() -> None:
    """The popularity baseline and all models must be compared by the same threshold, however few errors they make."""
    pairs = [([1], 2), ([4, 2], 1), ([5, 0], 2)]
    assert measured([0, 0, 0], *pairs)["threshold"] == measured([4, 1, 2], *pairs)["threshold"]
