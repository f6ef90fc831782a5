"""Lazy scans of the files of dumps: what they accept, and which row an error names."""

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from llmrec.datasets.readers import blocks
from llmrec.datasets.readers.scans import scan_json_lines, scan_literals
from llmrec.errors import InputError

SCHEMA = {"id": pl.String(), "time": pl.Int64(), "names": pl.List(pl.String)}


@pytest.mark.parametrize("end", ["", ".gz", ".zst"])
@pytest.mark.parametrize("block_bytes", [64, 1 << 24])
def test_json_lines_are_read_by_their_keys_in_order(
    end: str, block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    rows = [{"id": f"a\u2028{n}", "other": {"deep": [n]}, "names": ["x", "y"], "time": n} for n in range(50)]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in [*rows, {"time": 50}]).encode()
    path = tmp_path / f"rows.jsonl{end}"
    compressed = {"": bytes, ".gz": gzip.compress, ".zst": lambda text: pa.compress(text, "zstd", asbytes=True)}
    path.write_bytes(compressed[end](content))
    found = scan_json_lines(path, SCHEMA).collect(engine="streaming")
    assert found["id"].to_list() == [row["id"] for row in rows] + [None]
    assert found["time"].to_list() == list(range(51))
    assert found["names"].to_list() == [["x", "y"]] * 50 + [None]


def test_a_scan_reads_only_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "time": 1}\n{"id": "b", "time": 2}\n{"id": "c", "time": 3}\n')
    later = scan_json_lines(path, SCHEMA).filter(pl.col("time") > 1)
    assert later.select("id").collect()["id"].to_list() == ["b", "c"]
    assert scan_json_lines(path, SCHEMA).head(2).collect()["id"].to_list() == ["a", "b"]


def test_half_an_emoji_becomes_a_replacement_character(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [r'{"id": "Cut \ud83d"}', r'{"id": "\ude00 cut", "names": ["\ud83d"]}', r'{"id": "\ud83d\ude00"}']
    path.write_text("\n".join(lines))
    found = scan_json_lines(path, SCHEMA).collect()
    assert found["id"].to_list() == ["Cut \ufffd", "\ufffd cut", "\U0001f600"]
    assert found["names"].to_list() == [None, ["\ufffd"], None]


def test_values_of_another_type_are_converted_or_null(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 7, "time": "12", "names": "x"}\n{"id": "a", "time": "noon", "names": ["x", null]}\n')
    found = scan_json_lines(path, SCHEMA).collect()
    assert found.rows() == [("7", 12, None), ("a", None, ["x", None])]


@pytest.mark.parametrize("line", ['{"id": "a"', "[1]", "nonsense", '{"id": "\\x"}'])
def test_a_broken_line_is_named(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 32)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "time": 1}\n' * 4 + line + '\n{"id": "b"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl, row 5: not .*(Correct or remove that line|Write rows as)"):
        scan_json_lines(path, SCHEMA).collect(engine="streaming")


def test_literals_are_read_and_never_evaluated(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    rows = [{"id": 'It\'s "x"', "time": 3, "names": ["é"]}, {"id": None, "names": []}]
    path.write_text("".join(f"{row!r}\n" for row in rows), encoding="utf-8")
    assert scan_literals(path, SCHEMA).collect().rows() == [('It\'s "x"', 3, ["é"]), (None, None, [])]
    with open(path, "a") as file:
        file.write(f"open({str(tmp_path / 'written')!r}, 'w')\n")
    with pytest.raises(InputError, match=r"rows\.json, row 3: not a Python literal"):
        scan_literals(path, SCHEMA).collect()
    assert not (tmp_path / "written").exists()
