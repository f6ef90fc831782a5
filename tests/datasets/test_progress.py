"""Progress of reading: shares by bytes, rows a second, and where it is shown."""

import gzip
import io
from pathlib import Path

import pytest
from rich import console as rich_console
from rich.console import Console

from llmrec.datasets.readers import blocks, progress
from llmrec.datasets.readers.progress import Progress, shown_progress
from llmrec.datasets.readers.scans import scan_lines


def test_share_and_time_left_are_by_bytes(tmp_path: Path) -> None:
    for name, size in (("reviews", 300), ("items", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    texts: list[str] = []
    reading = Progress([tmp_path / "reviews", tmp_path / "items"], texts.append, 0)
    reading.advance(tmp_path / "items", 100, 2_000)
    assert reading.text(tmp_path / "items", 4.0) == "items: 25 %, 2,000 rows, 500 rows/s, 12 s left"
    reading.advance(tmp_path / "reviews", 100, 4_000)
    assert reading.text(tmp_path / "reviews", 4.0) == "reviews: 50 %, 6,000 rows, 1,500 rows/s, 4 s left"
    # Read again from the start.
    reading.advance(tmp_path / "reviews", 0, 0)
    assert reading.text(tmp_path / "reviews", 8.0) == "reviews: 25 %, 6,000 rows, 750 rows/s, 24 s left"
    assert len(texts) == 3


def test_nothing_is_shown_before_the_interval(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    texts: list[str] = []
    Progress([tmp_path / "a"], texts.append, 3_600).advance(tmp_path / "a", 5, 1)
    assert texts == []


@pytest.mark.parametrize("end", ["", ".gz"])
def test_scans_tell_the_bytes_of_the_file_and_their_rows(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(progress, "LINE_S", 0)
    path = tmp_path / f"rows.txt{end}"
    content = b"".join(b"%d\n" % number for number in range(5_000))
    path.write_bytes(gzip.compress(content) if end else content)
    with shown_progress([path]) as reading:
        assert len(scan_lines(path).collect()) == 5_000
    assert (reading.rows, sum(reading.read.values())) == (5_000, path.stat().st_size)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == -(-len(content) // (1 << 12))
    assert lines[-1].startswith(f"reading rows.txt{end}: 100 %, 5,000 rows, ")
    assert lines[-1].endswith(" rows/s, 0 s left")
    scan_lines(path).collect()
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line_that_is_redrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(progress, "REDRAW_S", 0)
    monkeypatch.setattr(rich_console, "Console", lambda stderr: Console(file=terminal, force_terminal=True, width=100))
    (tmp_path / "[red].txt").write_text("a\n" * 10)
    with shown_progress([tmp_path / "[red].txt"]):
        scan_lines(tmp_path / "[red].txt").collect()
    assert "reading [red].txt: 100 %, 10 rows, " in terminal.getvalue()
    assert "\n\n" not in terminal.getvalue()
