import gzip
import json
from pathlib import Path

import pytest

from llmrec.datasets.readers.msl_tables import read_titles
from llmrec.datasets.table_files import scan_table
from llmrec.datasets.text_files import read_text, without_lone_surrogates
from llmrec.errors import InputError


def test_half_an_emoji_is_replaced() -> None:
    assert without_lone_surrogates("cut \ud83d") == "cut \ufffd"
    assert without_lone_surrogates("\ud83d\ude00 whole, é") == "\U0001f600 whole, é"


def test_half_an_emoji_in_a_title_of_the_msl_layout_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "id2name4Rec.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"1": "Red Kettle", "2": "Party mug \ud83d"}).encode())
    assert read_titles(file).titles == ["Red Kettle", "Party mug \ufffd"]


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(b"item,title\na,Red\n")[:-9])
    with pytest.raises(InputError, match=r"items\.csv\.gz: cannot be decompressed .*complete copy"):
        read_text(tmp_path / "items.csv.gz")


def test_csv_keeps_line_separators_in_titles_and_drops_blank_last_lines(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(
        "\ufeffitem,title\r\na,Red\u2028Kettle\r\nb,Blue\x85Lamp\r\n\r\n,\r\n".encode()
    )
    assert scan_table(tmp_path / "items.csv").frame.collect()["title"].to_list() == ["Red\u2028Kettle", "Blue\x85Lamp"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"item": "c", "title": "Cut', r"row 3: not JSON \(Unterminated string .*Correct or remove that line"),
        ('["c", "Cup"]', r"row 3: not an object\. Write rows as"),
        ("", r"row 3: not JSON"),
    ],
)
def test_a_bad_line_of_json_is_named(line: str, message: str, tmp_path: Path) -> None:
    rows = ['{"item": "a", "title": "Red\u2028Kettle"}', '{"item": 7, "title": "Cup \\ud83d"}']
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join([*rows, ""]), encoding="utf-8")
    read = scan_table(file).frame.collect()
    assert read["item"].to_list() == ["a", "7"]
    assert read["title"].to_list() == ["Red\u2028Kettle", "Cup \ufffd"]
    file.write_text("\n".join([*rows, line, rows[0]]), encoding="utf-8")
    with pytest.raises(InputError, match=rf"items\.jsonl, {message}"):
        scan_table(file).frame.collect()
