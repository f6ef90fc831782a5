"""The files of an evaluation are complete or absent, and read back as they were written."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.record import (
    read_facts,
    read_metrics,
    read_part,
    write_facts,
    write_part,
    write_record,
)
from tests.evaluation.small import DATASET, EMBEDDINGS, RELEVANCE
from tests.tasks.given import GivenTitles, ranked_parts, record_of_parts, run_config

RIGHT = np.full((4, 10), -1, dtype=np.int32)
RIGHT[:, 0] = [0, 2, 4, 1]
NOTHING = np.full((4, 10), -1, dtype=np.int32)
VALID, TEST = pa.table({"row": [0, 1], "kind.value": [0.5, 1.0]}), pa.table({"row": [0], "kind.value": [0.25]})
METRICS = {"splits": {"valid": {"users": 2}, "test": {"users": 1}}}


def full_disk(table: pa.Table, path: Path) -> None:
    """Writes half of a Parquet file."""
    Path(path).write_bytes(b"half")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("lists", [RIGHT, NOTHING])
def test_a_record_is_read_as_it_was_written(lists: np.ndarray, tmp_path: Path) -> None:
    config, folder = run_config("next_item"), tmp_path / "ranking"
    parts = ranked_parts(GivenTitles(lists), DATASET, "test", config)
    features = ReferenceFeatures(RELEVANCE, EMBEDDINGS)
    metrics, table = record_of_parts(parts, DATASET, "test", config, features)
    write_record(folder, {"test": metrics}, {"test": table})
    assert read_metrics(folder) == {"test": metrics}
    written = pq.read_table(folder / "rows.parquet")
    assert written["split"].to_pylist() == ["test"] * 4
    assert written.drop_columns("split") == table
    assert sorted(file.name for file in folder.iterdir()) == ["checksums.json", "metrics.json", "rows.parquet"]


def test_values_by_row_of_all_splits_are_in_one_file(tmp_path: Path) -> None:
    # A column that only one split has is null in the other.
    test = TEST.append_column("other.value", pa.array([2.0]))
    write_record(tmp_path, METRICS, {"valid": VALID, "test": test})
    assert pq.read_table(tmp_path / "rows.parquet").to_pydict() == {
        "split": ["valid", "valid", "test"],
        "row": [0, 1, 0],
        "kind.value": [0.5, 1.0, 0.25],
        "other.value": [None, None, 2.0],
    }


def test_a_failed_write_leaves_the_record_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path, METRICS, {"valid": VALID, "test": TEST})
    before = (tmp_path / "rows.parquet").read_bytes()
    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        write_record(tmp_path, {"other": {}}, {"valid": VALID, "test": TEST})
    assert read_metrics(tmp_path) == METRICS
    assert (tmp_path / "rows.parquet").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checksums.json", "metrics.json", "rows.parquet"]


def test_metrics_are_moved_into_place_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def replaced(source: Path, target: Path) -> None:
        order.append(Path(target).name)

    monkeypatch.setattr("os.replace", replaced)
    write_record(tmp_path, {}, {"valid": VALID, "test": TEST})
    assert order == ["rows.parquet", "metrics.json", "checksums.json"]


def test_nan_never_reaches_the_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path, {"ndcg@10": float("nan")}, {"test": TEST})
    assert list(tmp_path.iterdir()) == []


def test_reading_metrics_that_are_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished evaluation"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"test": 1})[:-3])
    with pytest.raises(InputError, match="damaged"):
        read_metrics(tmp_path)


def test_rankings_are_read_by_split_as_they_were_written(tmp_path: Path) -> None:
    write_part(tmp_path, "ranking", {"valid": VALID, "test": TEST})
    assert read_part(tmp_path, "ranking") == {"valid": VALID, "test": TEST}
    assert read_part(tmp_path, "unconstrained") is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checksums.json", "ranking.parquet"]


def test_a_failed_write_of_a_ranking_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(InputError, match="No space left on device"):
        write_part(tmp_path, "ranking", {"test": TEST})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut short", "empty", "no split"])
def test_a_damaged_ranking_is_named(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "ranking.parquet"
    if damage == "no split":
        pq.write_table(VALID, file)
    else:
        write_part(tmp_path, "ranking", {"test": TEST})
        file.write_bytes(file.read_bytes()[:-20] if damage == "cut short" else b"")
    with pytest.raises(InputError, match=rf"{file} is damaged \(.+\)\. Delete the folder {tmp_path} and"):
        read_part(tmp_path, "ranking")


def test_facts_of_a_ranking_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_facts(tmp_path) == {}
    facts = {
        "recommender": "model",
        "seconds": {"opening": 1.5},
        "precision": None,
        "decoding": {"beams": 3},
        "evaluation": {"users": 5},
    }
    write_facts(tmp_path, facts)
    assert read_facts(tmp_path) == facts
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checksums.json", "ranking.json"]
