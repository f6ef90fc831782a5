"""Recommendations for a file: written part by part, resumed after the last one, in the order of the file."""

import errno
import fcntl
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from llmrec.datasets.history_file import HistoryFile
from llmrec.errors import InputError
from llmrec.training import recommended_file
from llmrec.training.recommended_file import print_recommended, write_recommended
from llmrec.training.recommending import Recommendations, Recommender

HISTORIES = [[f"Title {number}"] for number in range(7)]
EXPECTED = "".join(f'[{{"title": "after Title {number}"}}]\n' for number in range(7))


class Echo(Recommender):
    """Recommends two titles made from the newest one, and fails at the title `fails_at`."""

    def __init__(self, fails_at: str = "", error: BaseException | None = None) -> None:
        self.fails_at, self.error, self.seen = fails_at, error, list[str]()
        self.ranker = None

    def recommend(
        self, histories: Sequence[Sequence[str]], progress: Callable[[int], None] = lambda done: None
    ) -> list[Recommendations]:
        for history in histories:
            if self.error and history[-1] == self.fails_at:
                raise self.error
            self.seen.append(history[-1])
        return [[{"title": f"after {history[-1]}"}, {"title": "second"}] for history in histories]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of three histories."""
    monkeypatch.setattr(recommended_file, "PART_ROWS", 3)


@pytest.fixture
def file(tmp_path: Path) -> HistoryFile:
    """Seven histories: parts of 3, 3 and 1."""
    path = tmp_path / "histories.jsonl"
    path.write_text("".join(json.dumps(history) + "\n" for history in HISTORIES))
    return HistoryFile(path)


def test_streamed_lines_are_in_the_order_of_the_file_and_cut_to_k(file: HistoryFile) -> None:
    printed = io.StringIO()
    print_recommended(printed, file, 1, Echo())
    assert printed.getvalue() == EXPECTED


def test_an_interrupted_request_goes_on_after_its_last_part(
    file: HistoryFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_recommended(out, "request", file, 1, lambda: Echo("Title 4", KeyboardInterrupt()))
    assert not out.exists()
    assert sorted(part.name for part in (tmp_path / "out.jsonl.parts").iterdir()) == ["000000000.jsonl", "request"]
    second = Echo()
    write_recommended(out, "request", file, 1, lambda: second)
    assert second.seen == [f"Title {number}" for number in range(3, 7)]
    assert out.read_text() == EXPECTED
    assert "resuming after 3 of 7 histories" in capsys.readouterr().out
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["histories.jsonl", "out.jsonl"]


def test_another_request_starts_anew_and_says_so(
    file: HistoryFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_recommended(out, "k=2", file, 2, lambda: Echo("Title 4", KeyboardInterrupt()))
    second = Echo()
    write_recommended(out, "k=1", file, 1, lambda: second)
    assert "starting anew" in capsys.readouterr().out
    assert len(second.seen) == 7
    assert out.read_text() == EXPECTED


def test_a_request_whose_parts_are_all_done_opens_no_model(file: HistoryFile, tmp_path: Path) -> None:
    def opened() -> Recommender:
        raise AssertionError("opened")

    out = tmp_path / "out.jsonl"
    parts = tmp_path / "out.jsonl.parts"
    parts.mkdir()
    (parts / "request").write_text("request")
    for start in (0, 3, 6):
        lines = EXPECTED.splitlines(keepends=True)[start : start + 3]
        (parts / f"{start:09d}.jsonl").write_text("".join(lines))
    write_recommended(out, "request", file, 1, opened)
    assert out.read_text() == EXPECTED


def test_two_processes_do_not_write_the_same_file(file: HistoryFile, tmp_path: Path) -> None:
    parts = tmp_path / "out.jsonl.parts"
    parts.mkdir()
    lock = os.open(parts, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(InputError, match=r"another process writes .*out\.jsonl"):
        write_recommended(tmp_path / "out.jsonl", "request", file, 1, Echo)
    os.close(lock)


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_a_full_disk_is_named_and_keeps_the_old_file_and_the_parts(
    writes: int, file: HistoryFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The request's note, the three parts and the joined file are each flushed once.
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    flushed = list[int]()

    def fsync(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(InputError, match=r"cannot write .*No space left on device\. Free some space"):
            write_recommended(out, "request", file, 1, Echo)
    assert out.read_text() == "old"
    assert len(list((tmp_path / "out.jsonl.parts").glob("*.jsonl"))) == max(0, writes - 2)
    write_recommended(out, "request", file, 1, Echo)
    assert out.read_text() == EXPECTED
