"""Rankings as tables: those that were written give the record of those in memory, those of other rows are refused."""

from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.decoding.rank_lists import UnconstrainedRankings
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.record import read_part, write_part
from llmrec.tasks.base import build_task
from tests.evaluation.small import DATASET, EMBEDDINGS, RELEVANCE, TEST
from tests.tasks.given import (
    CANDIDATES,
    RANKED,
    RECOMMENDED,
    SCORES,
    TITLES,
    UNSEEN,
    GivenOrders,
    GivenTitles,
    lists_of,
    ranked_parts,
    record_of_parts,
    run_config,
)

BOTH = replace(DATASET, valid=TEST, lists={"valid": lists_of(), "test": lists_of()})
"""The small dataset with equal rows and lists in both splits."""
FEATURES = ReferenceFeatures(RELEVANCE, EMBEDDINGS)
TEXTS = ["Anno", "Anno 2", None, "Civ"]
"""Texts that are generated without constraints for the four rows: two titles, a text that is none, and no text."""
REVERSED = RANKED[:, ::-1]
FREE = UnconstrainedRankings(
    ["A, B, C", "C, B", "B, A, C"], np.array([[2, 1, 0], [2, 1, 0], [1, 0, 2]]), np.array([False, True, False])
)


def rankers() -> dict[str, tuple[Any, DictConfig]]:
    """Returns a ranker of each task, with settings that ask for all kinds of rankings."""
    lists = np.full((4, 10), -1, dtype=np.int32)
    lists[:, :2] = RECOMMENDED
    titles = GivenTitles(lists, np.where(lists < 0, -np.inf, -1).astype(np.float32), texts=TEXTS)
    orders = GivenOrders(np.stack([RANKED, REVERSED, RANKED]), FREE)
    return {
        "next_item": (titles, run_config("next_item", splits=["valid", "test"], unconstrained=True)),
        "rerank": (orders, run_config("rerank", splits=["valid", "test"], unconstrained=True, orders=3)),
    }


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_a_ranking_that_was_written_gives_the_record_of_the_one_in_memory(task: str, tmp_path: Path) -> None:
    ranker, config = rankers()[task]
    rankings = {split: ranked_parts(ranker, BOTH, split, config) for split in ("valid", "test")}
    for part in build_task(config).parts(config):
        write_part(tmp_path, part, {split: parts[part] for split, parts in rankings.items()})
    for split, parts in rankings.items():
        expected, rows = record_of_parts(parts, BOTH, split, config, FEATURES)
        found = {part: tables[split] for part in parts if (tables := read_part(tmp_path, part))}
        assert found.keys() == parts.keys()
        record, read_rows = record_of_parts(found, BOTH, split, config, FEATURES)
        assert record == expected
        assert read_rows == rows


def test_the_kinds_of_rankings_follow_from_the_settings() -> None:
    for task, most in (
        ("next_item", ["ranking", "unconstrained"]),
        ("rerank", ["ranking", "orders_3", "unconstrained"]),
    ):
        _, config = rankers()[task]
        assert list(build_task(config).parts(config)) == most
        alone = run_config(task)
        assert list(build_task(alone).parts(alone)) == ["ranking"]
        # A baseline generates no text.
        config.baseline.name = "popularity"
        assert list(build_task(config).parts(config)) == most[:-1]


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_progress_of_each_kind_ends_at_its_number_of_passes(task: str) -> None:
    ranker, config = rankers()[task]
    built = build_task(config)
    for part in built.parts(config):
        finished: list[int] = []
        built.rank(part, ranker, BOTH, "test", config, Path("parts"), finished.append)
        assert sum(finished) == built.passes(part, BOTH, "test", config)


def test_generated_titles() -> None:
    ranker, config = rankers()["next_item"]
    parts = ranked_parts(ranker, BOTH, "test", config)
    assert parts["unconstrained"].to_pydict() == {
        "row": [0, 1, 2, 3],
        "user": ["u0", "u1", "u2", "u3"],
        "target": ["d", "c", "f", "b"],
        "text": TEXTS,
        "is_title": [True, False, False, True],
    }
    record, rows = record_of_parts(parts, BOTH, "test", config)
    assert record["unconstrained"] == {"invalid_title_rate": 2 / 4, "rows": 4}
    assert rows["unconstrained.invalid"].to_pylist() == [0, 1, 1, 0]


def test_generated_rankings() -> None:
    ranker, config = rankers()["rerank"]
    parts = ranked_parts(ranker, BOTH, "test", config)
    assert parts["unconstrained"].to_pydict() == {
        "list": [0, 1, 2],
        "user": ["u", "u", "v"],
        "text": FREE.texts,
        "order": FREE.order.tolist(),
        "is_invalid": [False, True, False],
    }
    record, rows = record_of_parts(parts, BOTH, "test", config)
    # Gains in the order of the texts: 7, 3, 1; 3, 0, 15; 3, 3, 1. The first and the last are the best.
    second = (3 + 15 / 2) / (15 + 3 / log2(3))
    found = record["unconstrained"]
    assert (found["parse_failure_rate"], found["lists"]) == (1 / 3, 3)
    assert found["ndcg@1"] == pytest.approx((1 + 3 / 15 + 1) / 3)
    assert found["ndcg@10"] == pytest.approx((1 + second + 1) / 3)
    assert rows["unconstrained.invalid"].to_pylist() == [0, 1, 0]


def test_rankings_in_other_orders_are_positions_in_the_stored_one() -> None:
    ranker, config = rankers()["rerank"]
    parts = ranked_parts(ranker, BOTH, "test", config)
    assert parts["ranking"]["order"].to_pylist() == RANKED.tolist()
    others = parts["orders_3"]
    assert others.column_names == ["list", "user", "order_2", "order_3"]
    assert others["order_2"].to_pylist() == REVERSED.tolist()
    assert others["order_3"].to_pylist() == RANKED.tolist()
    record, _ = record_of_parts(parts, BOTH, "test", config)
    # Of the three pairs of orders one agrees, tau 1, and two are reversed, tau -1.
    assert (record["position"]["orders"], record["position"]["kendall_tau"]) == (3, pytest.approx(-1 / 3))


def other(dataset: Dataset, change: str) -> Dataset:
    """Returns the dataset after a change."""
    titles = ["Anno", "Braid", "Civ", "Anno", "Dota", "Elite"]
    changes: dict[str, dict[str, Any]] = {
        "fewer rows": {"test": TEST.take(np.arange(3)), "lists": {"test": lists_of().take(np.arange(2))}},
        "another order": {
            "test": TEST.take(np.arange(4)[::-1]),
            "lists": {"test": lists_of().take(np.arange(3)[::-1])},
        },
        "other targets": {
            "test": replace(TEST, target=np.array([3, 2, 5, 0], dtype=np.int32)),
            "lists": {"test": Lists(lists_of().rows, None, CANDIDATES[::-1], lists_of().relevance)},
        },
        "other titles": {"items": replace(dataset.items, titles=titles)},
        "other relevance": {"lists": {"test": replace(lists_of(), relevance=lists_of().relevance[:, ::-1])}},
    }
    return replace(dataset, **changes[change])


@pytest.mark.parametrize(
    ("task", "change", "what"),
    [
        ("next_item", "fewer rows", "rows"),
        ("next_item", "another order", "rows"),
        ("next_item", "other targets", "rows"),
        ("next_item", "other titles", "titles"),
        ("rerank", "fewer rows", "lists"),
        ("rerank", "another order", "lists"),
        ("rerank", "other targets", "lists"),
        ("rerank", "other relevance", "lists"),
    ],
)
def test_a_ranking_of_other_rows_is_refused(task: str, change: str, what: str) -> None:
    lists = np.full((4, 2), 3, dtype=np.int32)
    ranker, config = GivenTitles(lists) if task == "next_item" else GivenOrders(RANKED[None]), run_config(task)
    parts = ranked_parts(ranker, BOTH, "test", config)
    message = rf"the test ranking is of other {what} than tiny-sim has now\. Point LLMREC_DATA .* or rank again"
    with pytest.raises(InputError, match=message):
        record_of_parts(parts, other(BOTH, change), "test", config)


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_a_ranking_of_another_sample_is_refused(task: str) -> None:
    sample = run_config(task, users=2)
    ranker = GivenTitles(RECOMMENDED[:2], SCORES[:2], TITLES[:2]) if task == "next_item" else First()
    parts = ranked_parts(ranker, BOTH, "test", sample)
    record, rows = record_of_parts(parts, BOTH, "test", sample, UNSEEN)
    assert len(rows) == 2
    assert rows["user"].to_pylist() == parts["ranking"]["user"].to_pylist()
    assert record["dataset"] == "tiny-sim"
    with pytest.raises(InputError, match="the test ranking is of other"):
        record_of_parts(parts, BOTH, "test", run_config(task))


class First:
    """A ranker of candidate lists that keeps the order shown."""

    name = "model"

    def rank(self, lists: Lists, split: str, number: int, progress: Any) -> np.ndarray:
        return np.tile(np.arange(lists.candidates.shape[1]), (len(lists), 1))


def test_columns_of_text_are_of_one_type() -> None:
    ranker, config = rankers()["next_item"]
    assert ranked_parts(ranker, BOTH, "test", config)["unconstrained"].schema.field("text").type == pa.string()
