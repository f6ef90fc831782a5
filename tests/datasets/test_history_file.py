"""Files of histories: read in chunks, every line checked and named."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from llmrec.datasets.history_file import HistoryFile
from llmrec.errors import InputError

THREE = '\ufeff["Go", "Red\u2028Kettle"]\r\n["Blue\x85Lamp"]\n["\\ud83d"]\n\n \n'.encode()
HISTORIES = [["Go", "Red\u2028Kettle"], ["Blue\x85Lamp"], ["\ufffd"]]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_histories_come_in_chunks_from_any_line(suffix: str, tmp_path: Path) -> None:
    file = written(tmp_path / f"histories.jsonl{suffix}", THREE)
    assert file.rows == 3
    assert list(file.chunks(2)) == [HISTORIES[:2], HISTORIES[2:]]
    assert list(file.chunks(2, start=1)) == [HISTORIES[1:]]
    assert list(file.chunks(2, start=3)) == []


def test_digest_is_that_of_the_lines_whatever_the_compression(tmp_path: Path) -> None:
    plain, packed = (written(tmp_path / name, b'["A"]\n["B"]\n') for name in ("a.jsonl", "b.jsonl.gz"))
    assert plain.digest == packed.digest
    assert written(tmp_path / "c.jsonl", b'["A"]\n["C"]\n').digest != plain.digest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'["A"]\n["B"\n', "line 2: not JSON"),
        (b'["A"]\n[1]\n', "line 2: expected a list"),
        (b'["A"]\n[]\n', "line 2: expected a list"),
        (b'["A"]\n\n\n["B"]\n', "line 2: blank"),
        (b'["A"]\n["\xff"]\n', "line 2: not UTF-8"),
        (b"\n \n", "is empty"),
    ],
)
def test_a_malformed_line_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        written(tmp_path / "histories.jsonl", content)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_half_a_compressed_file_is_named(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"histories.jsonl{suffix}"
    written(file, b"".join(b'["%d"]\n' % number for number in range(1000)))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=rf"{file}.* (cannot be decompressed|cannot be read)"):
        HistoryFile(file)


def written(path: Path, content: bytes) -> HistoryFile:
    """Writes a file, compressed as its name says, and opens it."""
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return HistoryFile(path)
