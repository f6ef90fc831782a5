"""Exports with their own names of files and columns, in all formats, give the same interactions."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.readers.generic import Generic
from llmrec.errors import InputError, SettingsError

ORDERS: list[dict[str, Any]] = [
    {"who": "ann", "sku": 7, "when": "2023-11-14T22:13:20.500Z", "stars": 5},
    {"who": "ann", "sku": 8, "when": "2023-11-14T22:13:20.250Z", "stars": 4},
    {"who": "bob", "sku": 7, "when": "2023-11-14T22:13:21Z", "stars": 3},
]
PRODUCTS: list[dict[str, Any]] = [{"id": 7, "name": "Tea, Green"}, {"id": 8, "name": 'Mug "Öl"'}]
COLUMNS = {"user": "who", "item": "sku", "time": "when", "rating": "stars", "id": "id", "title": "name"}


def delimited(separator: str, end: str = "\n", start: str = "") -> Callable[[list[dict[str, Any]]], bytes]:
    def write(rows: list[dict[str, Any]]) -> bytes:
        cells = [['"' + str(value).replace('"', '""') + '"' for value in row.values()] for row in rows]
        return (start + end.join(separator.join(line) for line in [list(rows[0]), *cells]) + end).encode()

    return write


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zst(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(json_lines(rows))
    return bytes(sink.getvalue())


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def check(folder: Path, orders: str, products: str) -> None:
    """Ann bought the mug a quarter of a second before the tea, although the file has it later."""
    target = "llmrec.datasets.readers.generic.Generic"
    reader = build_reader({"_target_": target, "interactions": orders, "items": products, "columns": COLUMNS})
    assert isinstance(reader, Generic)
    items, events = reader.read(folder)
    assert (items.ids, items.titles) == (["7", "8"], ["Tea, Green", 'Mug "Öl"'])
    assert events.user_ids[events.user].tolist() == ["ann", "ann", "bob"]
    assert events.item.tolist() == [1, 0, 0]
    assert events.timestamp.tolist() == [1_700_000_000, 1_700_000_000, 1_700_000_001]
    assert events.rating is not None
    assert events.rating.tolist() == [4, 5, 3]
    assert events.time_units == {"dates": 3}


@pytest.mark.parametrize(
    ("extension", "write"),
    [
        ("csv", delimited(",")),
        ("csv", delimited(";", "\r\n", "\ufeff")),
        ("tsv", delimited("\t")),
        ("csv.gz", lambda rows: gzip.compress(delimited(",")(rows))),
        ("jsonl", json_lines),
        ("jsonl.gz", lambda rows: gzip.compress(json_lines(rows))),
        ("jsonl.zst", zst),
        ("parquet", parquet),
    ],
)
def test_each_format(extension: str, write: Callable[[list[dict[str, Any]]], bytes], tmp_path: Path) -> None:
    (tmp_path / f"orders.{extension}").write_bytes(write(ORDERS))
    (tmp_path / f"products.{extension}").write_bytes(write(PRODUCTS))
    check(tmp_path, f"orders.{extension}", f"products.{extension}")


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    for number, rows in enumerate((ORDERS[:1], ORDERS[1:])):
        (tmp_path / f"orders/part-{number}.snappy.parquet").write_bytes(parquet(rows))
    (tmp_path / "orders/_SUCCESS").touch()
    (tmp_path / "products.jsonl").write_bytes(json_lines(PRODUCTS))
    check(tmp_path, "orders", "products.jsonl")


def test_an_error_in_a_folder_of_parts_names_the_part(tmp_path: Path) -> None:
    (tmp_path / "interactions").mkdir()
    events = [{"user": "u", "item": "a", "timestamp": "5"}] * 3 + [{"user": "u", "item": "a", "timestamp": "noon"}]
    for number, rows in enumerate((events[:2], events[2:])):
        (tmp_path / f"interactions/part-{number}.parquet").write_bytes(parquet(rows))
    (tmp_path / "items.csv").write_text("item,title\na,Red\n")
    with pytest.raises(InputError, match=r"interactions/part-1\.parquet, row 2: timestamp is 'noon', not a time"):
        Generic().read(tmp_path)


def test_messages_have_the_names_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("who,sku,when,stars\nann,7,noon,5\n")
    (tmp_path / "products.jsonl").write_bytes(json_lines(PRODUCTS))
    with pytest.raises(InputError, match=r"orders\.csv, row 2: when is 'noon', not a time"):
        check(tmp_path, "orders.csv", "products.jsonl")
    (tmp_path / "orders.csv").write_text("who,sku,at,stars\nann,7,5,5\n")
    with pytest.raises(InputError, match=r"no column 'when' among who, sku, at, stars\. .* as in columns\.user="):
        check(tmp_path, "orders.csv", "products.jsonl")


def test_an_optional_column_that_is_named_must_be_there_and_null_leaves_it_out(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item,timestamp,rating\nann,7,5,0\n")
    (tmp_path / "items.csv").write_text("item,title\n7,Tea\n")
    target = {"_target_": "llmrec.datasets.readers.generic.Generic"}
    reader = build_reader({**target, "columns": {"rating": None}})
    assert isinstance(reader, Generic)
    assert reader.read(tmp_path)[1].rating is None
    reader = build_reader({**target, "columns": {"rating": "stars"}})
    assert isinstance(reader, Generic)
    with pytest.raises(InputError, match=r"no column 'stars' among user, item, timestamp\. Name"):
        reader.read(tmp_path)
    with pytest.raises(
        SettingsError, match=r"dataset\.reader\.columns\.usr: did you mean dataset\.reader\.columns\.us"
    ):
        build_reader({**target, "columns": {"usr": "who"}})


def test_a_malformed_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_bytes(b"who,s\rku,when,stars\nann,7,5,5\n")
    (tmp_path / "products.jsonl").write_bytes(json_lines(PRODUCTS))
    with pytest.raises(InputError, match=r"orders\.csv, row 1: new-line character seen .*Correct the header"):
        check(tmp_path, "orders.csv", "products.jsonl")
