"""Files of histories, JSON lines with one list of titles each, which are read in chunks."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from llmrec.datasets.text_files import open_bytes, without_lone_surrogates
from llmrec.errors import InputError

EXAMPLE = '["Title A", "Title B"]'


class HistoryFile:
    """A file of histories, which may be compressed (.gz, .zst). Only a chunk of it is in memory at a time.

    Attributes:
        path: The file.
        rows: Number of histories.
        digest: SHA-256 of the uncompressed content, 64 hex digits.
    """

    def __init__(self, path: Path) -> None:
        """Checks every line.

        Raises:
            InputError: The file cannot be read or is empty, or a line is not a history. The message names the line.
        """
        self.path, self.rows, content = path, 0, hashlib.sha256()
        for number, line in self._lines():
            parse_history(line, f"{path}, line {number}")
            content.update(line.encode("utf-8") + b"\n")
            self.rows = number
        if not self.rows:
            raise InputError(f"file={path} is empty: give one JSON list of titles per line")
        self.digest = content.hexdigest()

    def chunks(self, rows: int, start: int = 0) -> Iterator[list[list[str]]]:
        """Yields successive histories, `rows` at a time, oldest title first, without the first `start` ones."""
        histories = (parse_history(line, f"{self.path}, line {number}") for number, line in self._lines(start))
        while chunk := list(islice(histories, rows)):
            yield chunk

    def _lines(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """Yields numbers and texts of the lines after the first `start`; blank last lines are left out."""
        blank = 0
        with _opened(self.path) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    blank = blank or number
                elif blank:
                    raise InputError(f"{self.path}, line {blank}: blank. Remove the line, or give a list of titles")
                elif number > start:
                    yield number, self._decoded(line, number)

    def _decoded(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}, line {number}: not UTF-8 ({error.reason}). Save the file as UTF-8"
            ) from error


def parse_history(text: str, where: str) -> list[str]:
    """Reads a history, a JSON list of titles, oldest first.

    Args:
        text: The JSON.
        where: What the message of an error begins with.

    Raises:
        InputError: The text is not a list of at least one title.
    """
    try:
        titles = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}). Give a list of titles, as in {EXAMPLE}") from error
    if not isinstance(titles, list) or not titles or not all(isinstance(title, str) for title in titles):
        raise InputError(f"{where}: expected a list of at least one title, as in {EXAMPLE}")
    return [without_lone_surrogates(title) for title in titles]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_bytes(path) as file:
            yield file
    except OSError as error:
        raise InputError(f"file={path} cannot be read: {error.strerror}") from error
