"""The record of ranked titles, worked out by hand."""

from dataclasses import replace
from math import log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from tests.evaluation.small import DATASET, EMBEDDINGS, RELEVANCE, TEST, rows_of
from tests.tasks.given import (
    RECOMMENDED,
    SCORES,
    TITLES,
    UNSEEN,
    GivenTitles,
    ranked_parts,
    record_of_parts,
    run_config,
)

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets: d, c, f, b.


def ten_titles() -> np.ndarray:
    """Returns the same lists padded to ten titles, which metrics at 10 need."""
    lists = np.full((4, 10), -1, dtype=np.int32)
    lists[:, :2] = RECOMMENDED
    return lists


def record_of(
    lists: np.ndarray,
    scores: np.ndarray | None = None,
    dataset: Dataset = DATASET,
    exclude_history: bool = False,
    features: ReferenceFeatures = UNSEEN,
    split: str = "test",
    target_title: np.ndarray = TITLES,
) -> tuple[dict[str, Any], pa.Table]:
    """Returns the record of a split, and the values by row."""
    config = run_config("next_item", exclude_history)
    parts = ranked_parts(GivenTitles(lists, scores, target_title), dataset, split, config)
    return record_of_parts(parts, dataset, split, config, features)


def test_metrics_by_title_and_by_item() -> None:
    lists = ten_titles()
    metrics, _ = record_of(lists)
    # By title the ranks are 1, 2, 0, 0; by item d follows a, and c follows a and d: 2, 3, 0, 0.
    assert metrics["by_title"]["ndcg@10"] == pytest.approx((1 + 1 / log2(3)) / 4)
    assert metrics["by_item"]["ndcg@10"] == pytest.approx((1 / log2(3) + 1 / 2) / 4)
    assert (metrics["rows"], metrics["users"]) == (4, 4)
    assert metrics["warning"] == "4 users, fewer than 100: standard errors and intervals are rough"
    assert metrics["slices"]["cold"] == pytest.approx(
        dict.fromkeys(metrics["by_title"].keys() - {"ndcg@10_se"}, 0.0) | {"rows": 1, "users": 1}
    )
    assert metrics["slices"]["history_4-6"] == {"rows": 0, "users": 0}


def test_rows_of_the_users_table_sum_to_what_is_measured_of_all() -> None:
    lists = ten_titles()
    lists[:, 2:5] = [[1, 3, 2], [1, 3, 4], [0, -1, -1], [2, 0, 4]]
    metrics, table = record_of(lists, features=ReferenceFeatures(RELEVANCE, EMBEDDINGS))
    for name in ("popularity", "relevance"):
        parts = {
            part: np.stack(table[f"fairness.{name}.{part}"].to_numpy())
            for part in ("exposure@5", "exposure", "history")
        }
        counted = {part: rows.sum(axis=0) for part, rows in parts.items()}
        parity = metrics["fairness"][name]
        assert counted["history"] / counted["history"].sum() == pytest.approx(parity["gh"])
        assert counted["exposure"] / counted["exposure"].sum() == pytest.approx(parity["gp@10"])
        apart = np.abs(counted["exposure@5"] / counted["exposure@5"].sum() - parity["gh"])
        assert apart.mean() == pytest.approx(parity["mgu@5"], abs=1e-6)
    slots = np.stack(table["fairness.popularity.exposure"].to_numpy())
    assert slots[:, 0].sum() / slots.sum() == pytest.approx(metrics["fairness"]["head20_share"])
    # The first row's first title is right.
    wrong, hallucinated = (table[f"hallucination.{column}"].to_numpy() for column in ("wrong", "hallucinated"))
    assert (wrong[0], hallucinated[0]) == (0, 0)
    assert wrong.sum() == metrics["hallucination"]["wrong_top1"]
    assert hallucinated.sum() / wrong.sum() == pytest.approx(metrics["hallucination"]["semantic_share"])


def test_popularity_floor_stands_on_the_same_rows() -> None:
    lists = ten_titles()
    metrics, _ = record_of(lists)
    # Anno and Civ were a target twice each, Braid once, Doom and Elite never: ranks of the targets 1, 2, 5, 3.
    floor = (1 + 1 / log2(3) + 1 / log2(6) + 1 / 2) / 4
    assert metrics["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)
    without, _ = record_of(lists, exclude_history=True)
    # Histories leave out Braid and Civ; Civ and Doom; Anno; Doom: ranks 1, 0, 4, 3.
    floor = (1 + 0 + 1 / log2(5) + 1 / 2) / 4
    assert without["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)


def test_for_test_the_floor_counts_what_was_held_out_of_the_train_file() -> None:
    # Doom becomes the most frequent target; the popularity of slices and fairness stays that of train.
    lists, held_out = ten_titles(), rows_of(*[([1], 4)] * 4)
    before, _ = record_of(lists, dataset=replace(DATASET, valid=TEST, valid_held_out=True), split="valid")
    after, _ = record_of(lists, dataset=replace(DATASET, valid=held_out, valid_held_out=True))
    # Titles as above; with Doom in front the ranks of the targets are 2, 3, 5, 4.
    floor = (1 + 1 / log2(3) + 1 / log2(6) + 1 / 2) / 4
    assert before["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)
    floor = (1 / log2(3) + 1 / 2 + 1 / log2(6) + 1 / log2(5)) / 4
    assert after["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)
    assert before["slices"] == after["slices"]
    assert before["fairness"] == after["fairness"]


def test_fairness_of_the_model_and_of_the_popularity_floor() -> None:
    metrics, _ = record_of(RECOMMENDED, SCORES, features=ReferenceFeatures(RELEVANCE))
    # Five recommendations: Anno and Braid twice, Civ once. The popularity baseline recommends Anno and Civ to everyone.
    # The most popular fifth of the titles is Civ, the most relevant one half Braid and half Doom.
    assert metrics["fairness"] == pytest.approx(
        {
            "head20_share": 1 / 5,
            "coverage": 3 / 5,
            "gini": 12 / 25,
            "average_popularity": (2 * 3 + 2 * 3 + 1 * 4) / 5,
            "top20_relevance_share": 2 / 2 / 5,
        }
    )
    assert metrics["popularity_baseline"]["fairness"] == pytest.approx(
        {
            "head20_share": 1 / 2,
            "coverage": 2 / 5,
            "gini": 3 / 5,
            "average_popularity": (3 + 4) / 2,
            "top20_relevance_share": 0,
        }
    )


def test_floor_and_model_are_held_against_the_same_histories() -> None:
    lists = ten_titles()
    metrics, _ = record_of(lists, features=ReferenceFeatures(RELEVANCE))
    floor = metrics["popularity_baseline"]["fairness"]
    for grouping in ("popularity", "relevance"):
        assert metrics["fairness"][grouping]["gh"] == floor[grouping]["gh"]
    # By popularity: Civ, Anno and Braid by halves in two bins, Doom, Elite. The popularity
    # baseline recommends all five to every user.
    assert floor["popularity"]["gp@10"] == pytest.approx([1 / 5] * 5)
    assert floor["popularity"]["gh"] == pytest.approx([2 / 17, 13 / 2 / 17, 13 / 2 / 17, 2 / 17, 0])


def test_hallucination_of_the_model_and_of_the_popularity_floor() -> None:
    metrics, _ = record_of(RECOMMENDED, SCORES, features=ReferenceFeatures(embeddings=EMBEDDINGS))
    # Anno for a history of Civ and Doom, Braid for one of nothing but Anno. The others are right, or have no list.
    model = metrics["hallucination"]
    assert (model["wrong_top1"], model["mean_similarity"], model["repeated"]) == (2, pytest.approx(0.8 / 2), 0)
    # The popularity baseline recommends Anno to all: wrong for histories of Civ and Doom, of Anno, and of Doom.
    floor = metrics["popularity_baseline"]["hallucination"]
    assert (floor["wrong_top1"], floor["repeated"]) == (3, pytest.approx(1 / 3))
    assert floor["mean_similarity"] == pytest.approx((0.8 + 1 - 1) / 3)
    assert floor["threshold"] == model["threshold"]
    without, _ = record_of(RECOMMENDED, SCORES, features=ReferenceFeatures(RELEVANCE))
    assert "hallucination" not in without
    assert "hallucination" not in without["popularity_baseline"]


def test_simulated_data_is_named_and_has_its_best_possible() -> None:
    metrics, _ = record_of(RECOMMENDED, SCORES)
    assert metrics["dataset"] == "tiny-sim"
    assert metrics["simulated"] is True
    assert metrics["best_ndcg10"] == 0.5
    real = replace(DATASET, name="tiny", simulated=False, best_ndcg10=None)
    metrics, _ = record_of(RECOMMENDED, SCORES, real)
    assert metrics["simulated"] is False
    assert "best_ndcg10" not in metrics


def test_the_table_of_the_ranking() -> None:
    config = run_config("next_item")
    table = ranked_parts(GivenTitles(RECOMMENDED, SCORES), DATASET, "test", config)["ranking"]
    assert table.schema.field("titles").type == pa.list_(pa.string())
    assert table.schema.field("scores").type == pa.list_(pa.float32())
    assert table.to_pydict() == {
        "row": [0, 1, 2, 3],
        "user": ["u0", "u1", "u2", "u3"],
        "target": ["d", "c", "f", "b"],
        "target_title": ["Anno", "Civ", "Elite", "Braid"],
        "titles": [["Anno", "Braid"], ["Anno", "Civ"], ["Braid"], []],
        "scores": [[-0.5, -1.0], [-0.25, -2.0], [-3.0], []],
        "list_length": [2, 2, 2, 2],
        "exclude_history": [False] * 4,
    }


def test_the_table_of_values_by_row() -> None:
    _, table = record_of(RECOMMENDED, SCORES)
    counts = [name for name in table.column_names if name.startswith("fairness.")]
    parts = ("exposure@5", "exposure@10", "exposure", "history")
    assert counts == [f"fairness.popularity.{part}" for part in parts]
    # The most popular fifth of the titles is Civ, the next two are Anno and Braid by halves.
    exposure = [[0, 1, 1, 0, 0], [1, 0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0], [0] * 5]
    assert table["fairness.popularity.exposure"].to_pylist() == exposure
    assert table.drop_columns(counts).to_pydict() == {
        "row": [0, 1, 2, 3],
        "user": ["u0", "u1", "u2", "u3"],
        "target": ["d", "c", "f", "b"],
        "by_title.rank": [1, 2, 0, 0],
        "by_title.hr@1": [1, 0, 0, 0],
        "by_item.rank": [2, 3, 0, 0],
        "by_item.hr@1": [0, 0, 0, 0],
    }


def test_values_by_row_of_accuracy() -> None:
    _, table = record_of(ten_titles())
    second, third = 1 / log2(3), 1 / 2
    assert table["by_title.ndcg@10"].to_pylist() == pytest.approx([1, second, 0, 0])
    assert table["by_item.ndcg@5"].to_pylist() == pytest.approx([second, third, 0, 0])
    assert table["by_item.mrr@10"].to_pylist() == pytest.approx([1 / 2, 1 / 3, 0, 0])
    assert table["by_item.hr@5"].to_pylist() == [1, 1, 0, 0]


def test_permuting_users_permutes_the_table_and_keeps_the_metrics() -> None:
    order = np.array([2, 0, 3, 1])
    metrics, table = record_of(RECOMMENDED, SCORES, exclude_history=True)
    permuted, other = record_of(
        RECOMMENDED[order],
        SCORES[order],
        replace(DATASET, test=TEST.take(order)),
        exclude_history=True,
        target_title=TITLES[order],
    )
    assert permuted["by_title"] == pytest.approx(metrics["by_title"])
    assert permuted["fairness"] == metrics["fairness"]
    assert permuted["popularity_baseline"]["by_item"] == pytest.approx(metrics["popularity_baseline"]["by_item"])
    assert other.drop_columns("row") == table.drop_columns("row").take(pa.array(order))


def test_a_title_with_the_tokens_of_the_target_is_a_hit() -> None:
    # As for a tokenizer that maps Elite and Doom to the same tokens: Doom represents both.
    lists = np.array([[3], [3], [3], [3]], dtype=np.int32)
    metrics, table = record_of(lists, target_title=np.array([0, 2, 3, 1], dtype=np.int32))
    assert table["by_title.rank"].to_pylist() == [0, 0, 1, 0]
    assert metrics["by_title"]["hr@1"] == 1 / 4


def test_a_recommender_of_nothing_has_no_fairness() -> None:
    metrics, _ = record_of(np.full((4, 10), -1, dtype=np.int32), features=ReferenceFeatures(RELEVANCE, EMBEDDINGS))
    assert "fairness" not in metrics
    assert "hallucination" not in metrics
    assert metrics["popularity_baseline"].keys() == {"by_title", "by_item", "fairness", "hallucination"}
    assert metrics["by_title"]["ndcg@10"] == 0


def test_a_split_without_rows_is_named() -> None:
    with pytest.raises(InputError, match="the valid split of tiny-sim has no rows"):
        record_of(np.zeros((0, 10), dtype=np.int32), split="valid")


def test_record_of_an_exact_search_has_its_certificates_and_cost() -> None:
    details = {
        "certified": [1, 1, 0, 1],
        "bound": [-2, -3, -1, -4],
        "prefixes": [10, 20, 40, 12],
        "model_calls": [2, 3, 5, 2],
    }
    ranker = GivenTitles(ten_titles(), details={name: np.array(values, float) for name, values in details.items()})
    config = run_config("next_item")
    parts = ranked_parts(ranker, DATASET, "test", config)
    record, _ = record_of_parts(parts, DATASET, "test", config, UNSEEN)
    assert record["search"] == {"certified": 0.75, "prefixes": 20.5, "model_calls": 3.0}
    assert parts["ranking"]["bound"].to_pylist() == [-2, -3, -1, -4]


def test_record_of_a_beam_search_has_no_certificates() -> None:
    assert "search" not in record_of(ten_titles())[0]
