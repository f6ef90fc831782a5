"""Scans separated text such as CSV lazily, with an exact error for each malformed row.

Blocks without quotes are parsed by polars. What it cannot parse exactly (quotes, lone carriage returns, rows with
another number of fields, text that is not UTF-8) is read by the csv module, which finds the row for the message.
"""

import codecs
import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from llmrec.datasets.readers.blocks import blocks
from llmrec.datasets.readers.lazy_frames import ROWS, lazy_frame
from llmrec.errors import InputError

UNIT = "\x1f"
"""Stands for separators of several characters, which polars does not split at."""
Record = Sequence[str]


def split_line(block: bytes) -> tuple[bytes, bytes]:
    """Splits off the first line, whichever of the three line ends it has."""
    line, _, rest = block.partition(b"\n" if b"\n" in block else b"\r")
    return line.removesuffix(b"\r"), rest


@dataclass(frozen=True)
class Separated:
    """A file of separated text (UTF-8), which may be compressed (.gz, .zst).

    Attributes:
        path: The file.
        names: Names of the columns; numbered, they are the columns of the scan, because names may repeat.
        separator: One or more characters.
        quoted: Whether values may stand in quotes.
        has_header: Whether the first row holds the names.
        content: The content of the file if it is in memory already, uncompressed.
    """

    path: Path
    names: Sequence[str]
    separator: str
    quoted: bool = True
    has_header: bool = True
    content: bytes | None = None

    def scan(self) -> pl.LazyFrame:
        """Returns all columns as text, lazily: "0", "1" and so on.

        A line break inside quotes does not start a row. Blank last rows are dropped.

        Raises:
            InputError: On collecting, for a malformed row or text that is not UTF-8. The message names the row.
        """
        return lazy_frame(self._frames, dict.fromkeys(map(str, range(len(self.names))), pl.String()))

    def _frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        row, remaining = 1, blocks(self.path, self.content)
        if (first := next(remaining, None)) is None:
            raise InputError(f"{self.path}: empty. Put a complete copy of the file there")
        remaining = itertools.chain([first], remaining)
        for block, line in remaining:
            text = block
            if row == 1 and self.has_header:
                _, text = split_line(block)
                row = 2
                if not text:
                    continue
                line += 1
            frame = self._fast(text, columns)
            if frame is None:
                yield from self._exact(itertools.chain([(text, line)], remaining), row, columns)
                return
            row += len(frame)
            yield frame

    def _fast(self, block: bytes, columns: Sequence[str]) -> pl.DataFrame | None:
        """Parses a block in which every row has the right number of separators and no quotes; None for another."""
        if (self.quoted and b'"' in block) or block.count(b"\r") > block.count(b"\r\n"):
            return None
        # polars would drop the mark, which only at the start of the file is no text.
        if block.startswith(codecs.BOM_UTF8):
            return None
        single = self.separator if len(self.separator) == 1 else UNIT
        block = block if single == self.separator else block.replace(self.separator.encode(), single.encode())
        rows, width = block.count(b"\n") + 1, len(self.names)
        # Too many separators in a row are an error of polars, so with the right sum no row has too few.
        if block.count(single.encode()) != rows * (width - 1):
            return None
        try:
            frame = pl.read_csv(
                block, has_header=False, separator=single, quote_char=None, empty_string_is_null=False,
                schema=dict.fromkeys(map(str, range(width)), pl.String()), columns=list(map(int, columns)),
            )  # fmt: skip
        except pl.exceptions.PolarsError:
            return None
        return frame.select(columns) if len(frame) == rows else None

    def _exact(self, text: Iterator[tuple[bytes, int]], row: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        records, blank = self._records(text, row), 0
        while batch := list(itertools.islice(records, ROWS)):
            # Blank rows are held back, because at the end of the file they are none.
            filled = max((index + 1 for index, record in enumerate(batch) if "".join(record).strip()), default=0)
            if filled:
                found = [()] * blank + batch[:filled]
                if any(len(record) not in (0, len(self.names)) for record in found):
                    raise self._malformed(itertools.chain(found, batch[filled:], records), row)
                empty = ("",) * len(self.names)
                cells = list(zip(*(record or empty for record in found), strict=True))
                yield pl.DataFrame({name: pl.Series(cells[int(name)], dtype=pl.String) for name in columns})
                row, blank = row + len(found), len(batch) - filled
            else:
                blank += len(batch)

    def _records(self, text: Iterator[tuple[bytes, int]], row: int) -> Iterator[Record]:
        lines = self._lines(text)
        if not self.quoted:
            for line in lines:
                bare = line.rstrip("\r\n")
                yield bare.split(self.separator) if bare else ()
            return
        reader = csv.reader(lines, strict=True, delimiter=self.separator)
        for number in itertools.count(row):
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise InputError(f"{self.path}, row {number}: {error}. Correct that row") from error

    def _lines(self, text: Iterator[tuple[bytes, int]]) -> Iterator[str]:
        for block, line in text:
            try:
                yield from io.StringIO(f"{block.decode()}\n", newline="")
            except UnicodeDecodeError as error:
                row = line + block.count(b"\n", 0, error.start)
                problem = f"not UTF-8 ({error.reason})"
                raise InputError(f"{self.path}, row {row}: {problem}. Save the file as UTF-8") from error

    def _malformed(self, records: Iterator[Record], first_row: int) -> InputError:
        """Returns the error about the first of the remaining records that has another number of fields."""
        widths = [len(record) for record in records if record]
        wrong = [index for index, width in enumerate(widths) if width != len(self.names)]
        counted = f" ({len(wrong):,} of {len(widths):,} rows)" if len(wrong) > 1 else ""
        remedy = "Correct or remove that row" if len(wrong) == 1 else "Quote fields that contain the separator"
        fields = f"{widths[wrong[0]]} fields instead of {len(self.names)}"
        return InputError(f"{self.path}, row {first_row + wrong[0]}: {fields}{counted}. {remedy}")
