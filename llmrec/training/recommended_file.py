"""Writes the recommendations for a file of histories, part by part, and resumes after an interruption."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.atomic import atomic_file, check_writable
from llmrec.datasets.history_file import HistoryFile
from llmrec.errors import InputError
from llmrec.training.recommending import Recommendations, Recommender
from llmrec.training.recommending_workers import recommend_in_workers, worker_count
from llmrec.training.run_folder import RunFolder

PART_ROWS = 1024
"""Number of histories in a part. They are decoded in batches of similar length, and a kill loses at most one part."""
REQUEST = "request"
"""File of a folder of parts with the key of their request."""
OpenRecommender = Callable[[], Recommender]


def request_key(config: DictConfig, run: RunFolder, k: int, file: HistoryFile) -> str:
    """Returns the key of what determines the recommendations for a file: run, decoding settings, `k` and the file."""
    trained = hashlib.sha256((run.folder / "training.json").read_bytes()).hexdigest()
    parts = [run.folder.name, trained, run.ranking(config).name, k, file.digest, PART_ROWS]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def write_recommended(out: Path, request: str, file: HistoryFile, k: int, open_recommender: OpenRecommender) -> None:
    """Writes recommendations to `out` as JSON lines, one list per history, in the order of the file.

    Finished parts lie in the folder `<out>.parts` until `out` is written. The same request resumes after the last one.

    Args:
        out: The file to write.
        request: The key of the request.
        file: The histories.
        k: Number of titles per history.
        open_recommender: Opens the recommender; called only if a part is missing.

    Raises:
        InputError: Another process writes the same file, or the folder cannot be written.
    """
    with _parts_folder(out, request) as folder:
        starts = range(0, file.rows, PART_ROWS)
        parts = [folder / f"{start:09d}.jsonl" for start in starts]
        missing = next((number for number, part in enumerate(parts) if not part.exists()), len(parts))
        done = min(missing * PART_ROWS, file.rows)
        if done:
            print(f"resuming after {done:,} of {file.rows:,} histories", flush=True)
        if missing < len(parts):
            chunks = recommended_lines(open_recommender(), file, k, done)
            for part, lines in zip(parts[missing:], chunks, strict=True):
                with atomic_file(part) as temporary:
                    temporary.write_text(lines, encoding="utf-8")
        _join(parts, out)


def print_recommended(stream: TextIO, file: HistoryFile, k: int, recommender: Recommender) -> None:
    """Prints recommendations as `write_recommended` writes them, a part at a time."""
    for lines in recommended_lines(recommender, file, k):
        stream.write(lines)
        stream.flush()


def recommended_lines(recommender: Recommender, file: HistoryFile, k: int, start: int = 0) -> Iterator[str]:
    """Yields the JSON lines of successive parts, for the histories after the first `start`."""
    chunks = file.chunks(PART_ROWS, start)
    workers = worker_count(recommender, -(-(file.rows - start) // PART_ROWS))
    with tqdm(total=file.rows, initial=start, unit="history", disable=file.rows < 20) as bar:
        if workers > 1:
            config, run = recommender.config, recommender.run
            parts = recommend_in_workers(config, run, chunks, workers, bar.update)
        else:
            parts = (recommender.recommend(histories, bar.update) for histories in chunks)
        for rows in parts:
            yield _lines(rows, k)


def _lines(rows: Sequence[Recommendations], k: int) -> str:
    return "".join(json.dumps(row[:k], ensure_ascii=False) + "\n" for row in rows)


def _join(parts: Sequence[Path], out: Path) -> None:
    with atomic_file(out) as temporary, open(temporary, "wb") as joined:
        for part in parts:
            with open(part, "rb") as lines:
                shutil.copyfileobj(lines, joined)


@contextmanager
def _parts_folder(out: Path, request: str) -> Iterator[Path]:
    """Yields the locked folder of a request's finished parts; removes it at the end, and those of another request."""
    folder = out.with_name(f"{out.name}.parts")
    check_writable(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InputError(f"another process writes {out}. Wait for it, or give another out=FILE") from error
    try:
        note = folder / REQUEST
        if not note.is_file() or note.read_text(encoding="utf-8") != request:
            if any(folder.glob("*.jsonl")):
                print(f"{folder} has parts for another run, file or other settings: starting anew", flush=True)
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            with atomic_file(note) as temporary:
                temporary.write_text(request, encoding="utf-8")
        yield folder
        shutil.rmtree(folder)
    finally:
        os.close(lock)
