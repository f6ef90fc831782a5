"""Recommends with several processes of one thread each, which use the cores better than the threads of one process.

A step of a small model is too short to be divided well among threads.
"""

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from llmrec.training.recommending import Recommendations, Recommender
from llmrec.training.run_folder import RunFolder

SMALL_WEIGHTS = 20_000_000
"""Models with more weights use threads well, and each process would hold a copy of them."""
MAX_WORKERS = 8
"""Each process needs about 700 MB for its libraries and the catalogue."""
MIN_CHUNKS = 12
"""Chunks of histories from which on processes are faster: opening the run in each takes as long as some thousands of
histories."""
_recommender: Recommender | None = None
"""The recommender of this process, if it is a worker."""


def worker_count(recommender: Recommender, chunks: int) -> int:
    """Returns the number of processes that some chunks of histories are worth; 1 for none beside this one."""
    backbone = getattr(recommender.ranker, "backbone", None)
    if chunks < MIN_CHUNKS or backbone is None or backbone.device.type != "cpu":
        return 1
    weights = sum(weight.numel() for weight in backbone.parameters())
    return min(torch.get_num_threads(), MAX_WORKERS, chunks) if weights <= SMALL_WEIGHTS else 1


def recommend_in_workers(
    config: DictConfig, run: RunFolder, chunks: Iterator[list[list[str]]], workers: int, done: Callable[[int], Any]
) -> Iterator[list[Recommendations]]:
    """Yields the recommendations for successive chunks of histories.

    Args:
        config: The run's config, with the decoding settings and paths to use.
        run: The run's folder.
        chunks: The histories; as many chunks as workers, and one more, are in memory at a time.
        workers: Number of processes.
        done: Called with numbers of finished histories.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _open, (config, run.folder)) as pool:
        try:
            waiting: deque[Future[list[Recommendations]]] = deque()
            for chunk in chunks:
                waiting.append(pool.submit(_recommend, chunk))
                if len(waiting) > workers:
                    yield _finished(waiting, done)
            while waiting:
                yield _finished(waiting, done)
        except BaseException:
            # Without this, leaving the block would wait for chunks that nobody needs.
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _finished(waiting: deque[Future[list[Recommendations]]], done: Callable[[int], Any]) -> list[Recommendations]:
    rows = waiting.popleft().result()
    done(len(rows))
    return rows


def _open(config: DictConfig, folder: Path) -> None:
    global _recommender
    logging.basicConfig(level=logging.WARNING, format="llmrec: %(message)s")
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _recommender = Recommender(config, RunFolder(folder))


def _exit_with_parent() -> None:
    """Ends this process when its parent is killed, for whose next chunk it would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _recommend(histories: Sequence[Sequence[str]]) -> list[Recommendations]:
    assert _recommender is not None
    return _recommender.recommend(histories)
