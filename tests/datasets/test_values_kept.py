"""Values that parsers tend to change are read as they are; what cannot be read is named."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.prepared import Prepared
from llmrec.datasets.readers.base import Reader
from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.readers.interaction_reader import InteractionReader
from llmrec.datasets.readers.json_types import json_types
from llmrec.errors import InputError
from tests.datasets.dumps import write_amazon, write_minionerec, write_sdpo
from tests.datasets.layouts import prepared, write_msl


def reader(name: str) -> Reader:
    return build_reader({"_target_": f"llmrec.datasets.readers.{name}"})


def read(folder: Path) -> tuple[Items, Interactions]:
    found = reader("generic.Generic")
    assert isinstance(found, InteractionReader)
    return found.read(folder)


def test_users_keep_nul_and_byte_order_marks(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\na,Red\n")
    rows = "\ufeffann,a,1\nbob\0,a,2\nbob,a,3\n"
    (tmp_path / "interactions.csv").write_text(f"user,item,timestamp\n{rows}", encoding="utf-8")
    _, events = read(tmp_path)
    assert events.user_ids.tolist() == ["\ufeffann", "bob\0", "bob"]


def test_a_long_user_takes_no_room_of_others(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,title\na,Red\n")
    users = ["x" * 50_000, *(f"u{number}" for number in range(2_000))]
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\n" + "".join(f"{user},a,1\n" for user in users))
    _, events = read(tmp_path)
    assert events.user_ids.tolist() == users
    # A pointer each, not the width of the longest.
    assert events.user_ids.nbytes == 8 * len(users)


def test_lists_in_json_lines_are_categories_and_no_text(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\nann,a,1\n")
    items = [{"item": "a", "title": "Red", "categories": ["Home|Tea", "Cup"]}, {"item": "b", "title": "Blue"}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    assert read(tmp_path)[0].categories == [["Home|Tea", "Cup"], []]
    items[1]["categories"] = "Home|Cup"
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items[1:]))
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\nann,b,1\n")
    assert read(tmp_path)[0].categories == [["Home", "Cup"]]


@pytest.mark.parametrize(
    ("title", "kind"), [(["Red"], "lists"), ({"en": "Red"}, "structs")]
)  # fmt: skip
def test_a_title_in_json_that_is_no_text_is_refused(title: object, kind: str, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\nann,a,1\n")
    (tmp_path / "items.jsonl").write_text(json.dumps({"item": "a", "title": title}))
    with pytest.raises(InputError, match=rf"items\.jsonl, row 1: title is .* \(the column holds {kind}\)"):
        read(tmp_path)


def test_blank_ids_of_dumps_are_missing_ones(tmp_path: Path) -> None:
    folder = write_amazon(tmp_path / "own", 2018, compressed=False)
    with open(folder / "Games.json", "a", encoding="utf-8") as file:
        for user, item in (("", "B0"), ("U0", "")):
            review = {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": 1}
            file.write(json.dumps(review) + "\n")
    with open(folder / "meta_Games.json", "a", encoding="utf-8") as file:
        file.write(json.dumps({"asin": "", "title": "Nameless"}) + "\n")
    found: Prepared = prepared(tmp_path)
    assert "" not in found.items.ids
    assert found.report["dropped"]["items without an id"] == 1
    assert found.report["dropped"]["events without a user, an item or a time"] == 2


@pytest.mark.parametrize("compress", [gzip.compress, lambda text: pa.compress(text, "zstd", asbytes=True)])
@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.jsonl.gz"])
def test_compression_that_the_name_does_not_say_is_named(name: str, compress: object, tmp_path: Path) -> None:
    assert callable(compress)
    (tmp_path / "interactions.csv").write_text("user,item,timestamp\nann,a,1\n")
    content = compress(b'{"item": "a", "title": "Red"}\n' if "json" in name else b"item,title\na,Red\n")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(InputError, match=rf"{name}: its content is compressed, but its name does not say so"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, r": not valid JSON \(maximum recursion depth"),
        ('{"1": ' + "9" * 5_000 + "}", r": not valid JSON \(Exceeds the limit"),
        ('{"1": "Red", "1": "Blue"}', r", key '1': occurs twice\. Remove one of its entries"),
        ('{"1": "Red"', r", row 1: not valid JSON \(Expecting ',' delimiter\)"),
    ],
)
def test_json_that_cannot_be_read_is_named(content: str, message: str, tmp_path: Path) -> None:
    file = write_msl(tmp_path / "own") / "id2name4Rec.json"
    file.write_text(content)
    with pytest.raises(InputError, match=rf"id2name4Rec\.json{message}"):
        prepared(tmp_path)


def test_samples_nested_too_deeply_are_named(tmp_path: Path) -> None:
    (write_sdpo(tmp_path / "own") / "lastfm-val.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"lastfm-val\.json: not valid JSON \(maximum recursion depth"):
        prepared(tmp_path)


def test_a_column_of_times_in_minionerec_is_ignored(tmp_path: Path) -> None:
    folder = write_minionerec(tmp_path / "own")
    for file in folder.glob("*/*.csv"):
        header, *rows = file.read_text(encoding="utf-8").splitlines()
        lines = [f"{header},timestamp", *(f"{row},7" for row in rows)]
        file.write_text("\n".join(lines), encoding="utf-8")
    found = prepared(tmp_path)
    assert found.train.timestamp.tolist() == [0, 1]
    assert "timestamp" in found.report["ignored_columns"]


def test_a_manifest_nested_too_deeply_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"own/manifest\.json: not the manifest of a prepared set \(maximum recursion"):
        prepared(tmp_path)


def test_nested_objects_are_read_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # polars infers a type of 500 levels in seconds, and one of some thousand never.
    monkeypatch.setattr("polars.read_ndjson", lambda *_, **__: pytest.fail("read by polars"))
    file = tmp_path / "items.jsonl"
    file.write_text('{"item": "a", "deep": ' + '{"a":' * 400 + "1" + "}" * 401)
    assert json_types(file) == {"item": pl.String(), "deep": pl.String()}
    file.write_text('{"item": "a", "deep": ' + '{"a":' * 100_000)
    with pytest.raises(InputError, match=r"items\.jsonl, row 1: not JSON \(maximum recursion depth"):
        json_types(file)
