"""Archives hold no identifiers of users and items, and still tell which rows were ranked."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from llmrec.tables.row_identity import ranked_rows, without_identifiers

ROWS: dict[str, list[Any]] = {
    "split": ["valid", "test", "test", "test"],
    "row": [0, 0, 1, 2],
    "user": ["zoe", "bob", "zoe", "al"],
    "target": ["b1", "b2", "b3", "b2"],
    "by_title.hr@10": [0.0, 1.0, 0.0, 1.0],
}


def of_split(rows: pa.Table, split: str) -> pa.Table:
    """The rows of a split as tables read them."""
    return rows.filter(pc.equal(rows["split"], split)).drop_columns("split")


@pytest.fixture
def packed() -> pa.Table:
    """The rows as an archive stores them, read again."""
    buffer = pa.BufferOutputStream()
    pq.write_table(without_identifiers(pa.table(ROWS)), buffer)
    return pq.read_table(pa.BufferReader(buffer.getvalue()))


def test_users_are_numbered_in_their_order_and_items_are_left_out(packed: pa.Table) -> None:
    assert packed.to_pydict() == {
        "split": ["valid", "test", "test", "test"],
        "by_title.hr@10": [0.0, 1.0, 0.0, 1.0],
        "user": ["2", "1", "2", "0"],
    }


def test_numbers_of_many_users_sort_as_their_identifiers_do() -> None:
    users = sorted(str(user) for user in range(200))
    rows = pa.table({"split": ["test"] * 200, "row": range(200), "user": users})
    numbers = without_identifiers(rows)["user"].to_pylist()
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 200


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_same_rows_are_recognized(split: str, packed: pa.Table) -> None:
    whole = ranked_rows(of_split(pa.table(ROWS), split), split)
    assert ranked_rows(of_split(packed, split), split) == whole
    assert without_identifiers(packed).equals(packed)


@pytest.mark.parametrize(
    "changed",
    [
        {"row": [0, 0, 2, 1]},
        {"user": ["zoe", "bob", "zoe", "bo"]},
        {"target": ["b1", "b2", "b3", "b4"]},
    ],
    ids=["row", "user", "target"],
)
def test_other_rows_are_told_apart(changed: dict[str, list[Any]], packed: pa.Table) -> None:
    other = ranked_rows(of_split(pa.table(ROWS | changed), "test"), "test")
    assert other != ranked_rows(of_split(packed, "test"), "test")


def test_values_of_metrics_do_not_identify_rows(packed: pa.Table) -> None:
    other = pa.table(ROWS | {"by_title.hr@10": [1.0, 0.0, 1.0, 0.0]})
    assert ranked_rows(of_split(other, "test"), "test") == ranked_rows(of_split(packed, "test"), "test")
