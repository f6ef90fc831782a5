"""Separated text is read the same whether polars or the csv module reads it, and errors name the row."""

import csv
from pathlib import Path

import polars as pl
import pytest

from llmrec.datasets.readers import blocks
from llmrec.datasets.table_files import scan_separated, scan_text
from llmrec.errors import InputError

ROWS = [[f"u{n}", f"i{n % 3}", "" if n % 5 else "x y"] for n in range(40)]


def write(path: Path, rows: list[list[str]], end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=end, quoting=quoting).writerows([["user", "item", "note"], *rows])
    return path


def rows_of(path: Path) -> list[tuple[str, ...]]:
    return scan_separated(path).frame.collect(engine="streaming").rows()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_all_line_ends_and_quotes_give_the_same_rows(end: str, quoting: int, tmp_path: Path) -> None:
    assert rows_of(write(tmp_path / "a.csv", ROWS, end, quoting)) == [tuple(row) for row in ROWS]


def test_quotes_from_the_middle_on_are_read(tmp_path: Path) -> None:
    rows = [*ROWS, ["u", 'say "hi", twice', "two\n\nlines"], *ROWS]
    assert rows_of(write(tmp_path / "a.csv", rows)) == [tuple(row) for row in rows]


def test_blank_last_lines_are_dropped_and_others_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n\n3,4\n\n,\n\n \n")
    assert rows_of(path) == [("1", "2"), ("", ""), ("3", "4")]


@pytest.mark.parametrize("line", ["u,i", "u,i,x,y", '"u,i,x', '"u"v,i,x'])
def test_a_malformed_row_is_named(line: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    with open(path, "a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match=r"a\.csv, row 42: .* Correct (or remove )?that row"):
        rows_of(path)


def test_malformed_rows_are_counted_to_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    with open(path, "a") as file:
        file.write("u,i\n" + "u,i,x\n" * 30 + "u\n")
    with pytest.raises(InputError, match=r"row 42: 2 fields instead of 3 \(2 of \d+ rows\)\. Quote fields"):
        rows_of(path)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ROWS)
    with open(path, "ab") as file:
        file.write("é,i,x\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.csv, row 42: not UTF-8 .*Save the file as UTF-8"):
        rows_of(path)


def test_columns_of_a_dump_have_types_or_are_null(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfid,other,time\r\n"a, b",x,1\r\nc,,noon\r\n,y,3\r\n')
    found = scan_text(path, {"time": pl.Int64(), "id": pl.String()}).collect()
    assert found.rows() == [(1, "a, b"), (None, "c"), (3, None)]
    with pytest.raises(InputError, match=r"a\.csv, row 1: no column 'when' among id, other, time"):
        scan_text(path, {"when": pl.Int64()})
