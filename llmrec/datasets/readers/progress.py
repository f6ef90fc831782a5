"""Progress of reading: rows a second, and the time left by the share of bytes that were read."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

LINE_S = 30.0
"""Seconds between two lines where the output is no terminal."""
REDRAW_S = 0.2
"""Seconds between two updates of the line on a terminal."""


class Progress:
    """Counts what has been read of some files.

    Attributes:
        rows: The number of rows that were read, counting again the files that are read again.
    """

    def __init__(self, files: Sequence[Path], show: Callable[[str], None], every_s: float) -> None:
        """Starts the clock.

        Args:
            files: The files to be read.
            show: Called at most once in `every_s` seconds, with a text such as "Games.jsonl.gz: 42 %, 1,000,000 rows,
                350,000 rows/s, 12 s left".
            every_s: Seconds.
        """
        self.sizes = {file.resolve(): file.stat().st_size for file in files}
        self.read = dict.fromkeys(self.sizes, 0)
        self.rows, self.show, self.every_s = 0, show, every_s
        self.started = self.shown = time.monotonic()

    def advance(self, file: Path, position: int, rows: int) -> None:
        """Counts rows that were read, and shows the progress if the last time is long enough ago.

        Args:
            file: The file.
            position: The number of its bytes that were read, compressed ones of a compressed file.
            rows: The number of rows since the last call.
        """
        self.rows += rows
        self.read[file.resolve()] = position
        now = time.monotonic()
        if now - self.shown >= self.every_s:
            self.shown = now
            self.show(self.text(file, now - self.started))

    def text(self, file: Path, elapsed_s: float) -> str:
        """Describes the state after some seconds."""
        share = min(sum(self.read.values()) / max(1, sum(self.sizes.values())), 1.0)
        left = f", {elapsed_s * (1 - share) / share:,.0f} s left" if share else ""
        return f"{file.name}: {100 * share:.0f} %, {self.rows:,} rows, {self.rows / elapsed_s:,.0f} rows/s{left}"


_current: Progress | None = None
"""The progress that this process shows. A context variable would not be passed on to the threads of polars."""


def advance(file: Path, position: int, rows: int) -> None:
    """Advances the progress that is shown, if there is one; see `Progress.advance`."""
    if _current:
        _current.advance(file, position, rows)


@contextmanager
def shown_progress(files: Sequence[Path]) -> Iterator[Progress]:
    """Shows the progress of reading on stderr: a line that is redrawn on a terminal, else a line every 30 seconds.

    Args:
        files: The files to be read.
    """
    global _current
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    with ExitStack() as stack:
        if console.is_terminal:
            status = stack.enter_context(console.status("reading"))
            _current = Progress(files, lambda text: status.update(escape(f"reading {text}")), REDRAW_S)
        else:
            _current = Progress(files, lambda text: print(f"reading {text}", file=sys.stderr, flush=True), LINE_S)
        try:
            yield _current
        finally:
            _current = None
