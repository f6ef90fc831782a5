"""The record of an evaluation: metrics, users table, and files that are complete or absent."""

import json
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.record import read_metrics, split_record, write_record
from llmrec.evaluation.reference_features import ReferenceFeatures
from tests.evaluation.small import DATASET, EMBEDDINGS, RELEVANCE, TEST, rows_of

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets: d, c, f, b.
RECOMMENDED = np.array([[0, 1], [0, 2], [1, -1], [-1, -1]], dtype=np.int32)
TITLES = np.array([0, 2, 4, 1], dtype=np.int32)
UNSEEN = ReferenceFeatures()
SCORES = np.array([[-0.5, -1], [-0.25, -2], [-3, -np.inf], [-np.inf, -np.inf]], dtype=np.float32)


def ten_titles() -> np.ndarray:
    """Returns the same lists padded to ten titles, which metrics at 10 need."""
    lists = np.full((4, 10), -1, dtype=np.int32)
    lists[:, :2] = RECOMMENDED
    return lists


def record_of(
    lists: np.ndarray,
    scores: np.ndarray,
    dataset: Dataset = DATASET,
    exclude_history: bool = False,
    features: ReferenceFeatures = UNSEEN,
) -> tuple[dict[str, Any], pa.Table]:
    """Returns the record of the test split."""
    return split_record(lists, scores, TEST, dataset, "test", exclude_history, TITLES, features)


def test_metrics_by_title_and_by_item() -> None:
    lists = ten_titles()
    metrics, _ = record_of(lists, np.zeros(lists.shape))
    # By title the ranks are 1, 2, 0, 0; by item d follows a, and c follows a and d: 2, 3, 0, 0.
    assert metrics["by_title"]["ndcg@10"] == pytest.approx((1 + 1 / log2(3)) / 4)
    assert metrics["by_item"]["ndcg@10"] == pytest.approx((1 / log2(3) + 1 / 2) / 4)
    assert metrics["users"] == 4
    assert metrics["slices"]["cold"] == pytest.approx(
        dict.fromkeys(metrics["by_title"].keys() - {"ndcg@10_se"}, 0.0) | {"users": 1}
    )
    assert metrics["slices"]["history_4-6"] == {"users": 0}


def test_rows_of_the_users_table_sum_to_what_is_measured_of_all() -> None:
    lists = ten_titles()
    lists[:, 2:5] = [[1, 3, 2], [1, 3, 4], [0, -1, -1], [2, 0, 4]]
    metrics, table = record_of(lists, np.zeros(lists.shape), features=ReferenceFeatures(RELEVANCE, EMBEDDINGS))
    for name in ("popularity", "relevance"):
        parts = {part: np.stack(table[f"{name}.{part}"].to_numpy()) for part in ("exposure@5", "exposure", "history")}
        counted = {part: rows.sum(axis=0) for part, rows in parts.items()}
        parity = metrics["fairness"][name]
        assert counted["history"] / counted["history"].sum() == pytest.approx(parity["gh"])
        assert counted["exposure"] / counted["exposure"].sum() == pytest.approx(parity["gp@10"])
        apart = np.abs(counted["exposure@5"] / counted["exposure@5"].sum() - parity["gh"])
        assert apart.mean() == pytest.approx(parity["mgu@5"], abs=1e-6)
    slots = np.stack(table["popularity.exposure"].to_numpy())
    assert slots[:, 0].sum() / slots.sum() == pytest.approx(metrics["fairness"]["head20_share"])
    # The first row's first title is right.
    assert table["hallucinated"].is_null().to_pylist()[0]
    judged = table["hallucinated"].drop_null().to_pylist()
    assert len(judged) == metrics["hallucination"]["wrong_top1"]
    assert np.mean(judged) == pytest.approx(metrics["hallucination"]["semantic_share"])


def test_popularity_floor_stands_on_the_same_rows() -> None:
    lists = ten_titles()
    metrics, _ = record_of(lists, np.zeros(lists.shape))
    # Anno and Civ were a target twice each, Braid once, Doom and Elite never: ranks of the targets 1, 2, 5, 3.
    floor = (1 + 1 / log2(3) + 1 / log2(6) + 1 / 2) / 4
    assert metrics["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)
    without, _ = record_of(lists, np.zeros(lists.shape), exclude_history=True)
    # Histories leave out Braid and Civ; Civ and Doom; Anno; Doom: ranks 1, 0, 4, 3.
    floor = (1 + 0 + 1 / log2(5) + 1 / 2) / 4
    assert without["popularity_baseline"]["by_title"]["ndcg@10"] == pytest.approx(floor)


def test_for_test_the_floor_counts_what_was_held_out_of_the_train_file() -> None:
    # Doom becomes the most frequent target; the popularity of slices and fairness stays that of train.
    lists, held_out = ten_titles(), rows_of(*[([1], 4)] * 4)
    dataset = replace(DATASET, valid=held_out, valid_held_out=True)
    titles = TITLES, UNSEEN
    before, after = (
        split_record(lists, np.zeros(lists.shape), TEST, dataset, split, False, *titles)[0]
        for split in ("valid", "test")
    )
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
    metrics, _ = record_of(lists, np.zeros(lists.shape), features=ReferenceFeatures(RELEVANCE))
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


def test_users_table() -> None:
    _, table = record_of(RECOMMENDED, SCORES)
    assert table.schema.field("titles").type == pa.list_(pa.string())
    assert table.schema.field("scores").type == pa.list_(pa.float32())
    counted = [name for name in table.column_names if name.startswith("popularity.")]
    assert counted == ["popularity.exposure@5", "popularity.exposure@10", "popularity.exposure", "popularity.history"]
    assert table.drop_columns(counted).to_pydict() == {
        "row": [0, 1, 2, 3],
        "user": ["u0", "u1", "u2", "u3"],
        "target": ["d", "c", "f", "b"],
        "target_title": ["Anno", "Civ", "Elite", "Braid"],
        "rank": [1, 2, 0, 0],
        "item_rank": [2, 3, 0, 0],
        "titles": [["Anno", "Braid"], ["Anno", "Civ"], ["Braid"], []],
        "scores": [[-0.5, -1.0], [-0.25, -2.0], [-3.0], []],
    }


def test_permuting_users_permutes_the_table_and_keeps_the_metrics() -> None:
    order = np.array([2, 0, 3, 1])
    metrics, table = record_of(RECOMMENDED, SCORES, exclude_history=True)
    permuted, other = split_record(
        RECOMMENDED[order],
        SCORES[order],
        TEST.take(order),
        DATASET,
        "test",
        exclude_history=True,
        target_title=TITLES[order],
        features=UNSEEN,
    )
    assert permuted["by_title"] == pytest.approx(metrics["by_title"])
    assert permuted["fairness"] == metrics["fairness"]
    assert permuted["popularity_baseline"]["by_item"] == pytest.approx(metrics["popularity_baseline"]["by_item"])
    assert other.drop_columns("row") == table.drop_columns("row").take(pa.array(order))


def test_a_split_without_rows_is_named() -> None:
    empty = np.zeros((0, 10), dtype=np.int32)
    with pytest.raises(InputError, match="the valid split of tiny-sim has no rows"):
        split_record(
            empty, empty, DATASET.valid, DATASET, "valid", exclude_history=False, target_title=TITLES, features=UNSEEN
        )


@pytest.mark.parametrize("lists", [ten_titles(), np.full((4, 10), -1, dtype=np.int32)])
def test_write_and_read(lists: np.ndarray, tmp_path: Path) -> None:
    metrics, table = record_of(lists, np.zeros(lists.shape), features=ReferenceFeatures(RELEVANCE, EMBEDDINGS))
    write_record(tmp_path / "eval", {"test": metrics}, {"test": table})
    assert read_metrics(tmp_path / "eval") == {"test": metrics}
    assert pq.read_table(tmp_path / "eval" / "users_test.parquet") == table
    assert sorted(file.name for file in (tmp_path / "eval").iterdir()) == ["metrics.json", "users_test.parquet"]


def test_a_failed_write_leaves_the_record_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, table = record_of(RECOMMENDED, SCORES)
    write_record(tmp_path, {"test": metrics}, {"valid": table, "test": table})

    def full_disk(table: pa.Table, path: Path) -> None:
        if "test" in Path(path).name:
            raise OSError(28, "No space left on device")
        Path(path).write_bytes(b"half")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        write_record(tmp_path, {"other": {}}, {"valid": table, "test": table})
    assert read_metrics(tmp_path) == {"test": metrics}
    assert pq.read_table(tmp_path / "users_valid.parquet") == table


def test_metrics_take_their_place_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def replaced(source: Path, target: Path) -> None:
        order.append(Path(target).name)

    monkeypatch.setattr("os.replace", replaced)
    table = pa.table({"row": [0]})
    write_record(tmp_path, {}, {"valid": table, "test": table})
    assert order[-1] == "metrics.json"
    assert len(order) == 3


def test_nan_never_reaches_the_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path, {"ndcg@10": float("nan")}, {})
    assert list(tmp_path.iterdir()) == []


def test_reading_what_is_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished evaluation"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"test": 1})[:-3])
    with pytest.raises(InputError, match="damaged"):
        read_metrics(tmp_path)
