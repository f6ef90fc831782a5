"""Answers requests that arrive together in batches: one queue and one thread for each model."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """As many requests wait as are allowed to."""


class BatchQueue(Generic[Request, Answer]):
    """Requests that wait for a model, which a thread answers in batches.

    A batch is formed of what waits when the model becomes free, so a lone request does not wait for others.
    """

    def __init__(self, answer: Callable[[list[Request]], Sequence[Answer]], waiting: int, batch_size: int) -> None:
        """Starts the thread.

        Args:
            answer: Returns one answer for each request of a batch. It is called in the thread only.
            waiting: Maximum number of requests in the queue.
            batch_size: Maximum number of requests in a batch.
        """
        self.answer, self.batch_size = answer, batch_size
        self.requests: queue.Queue[tuple[Request, Future[Answer]] | None] = queue.Queue(waiting)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def submit(self, request: Request) -> "Future[Answer]":
        """Adds a request to the queue. One whose future is canceled before its batch begins is not computed.

        Raises:
            QueueFullError: The queue is full.
        """
        future: Future[Answer] = Future()
        try:
            self.requests.put_nowait((request, future))
        except queue.Full as error:
            raise QueueFullError from error
        return future

    def close(self) -> None:
        """Waits until all requests in the queue are answered, and ends the thread."""
        self.requests.put(None)
        self.thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            wanted = [(request, future) for request, future in batch if future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            try:
                answers = self.answer([request for request, _ in wanted])
            except Exception as error:
                logger.exception("a batch of %s requests failed", len(wanted))
                for _, future in wanted:
                    future.set_exception(error)
                continue
            for (_, future), answer in zip(wanted, answers, strict=True):
                future.set_result(answer)

    def _next_batch(self) -> "list[tuple[Request, Future[Answer]]]":
        """Waits for a request and returns it with those behind it; nothing once the queue is closed and empty."""
        batch = list[tuple[Request, Future[Answer]]]()
        while len(batch) < self.batch_size:
            try:
                entry = self.requests.get(block=not batch)
            except queue.Empty:
                break
            if entry is None:
                if batch:
                    self.requests.put(None)
                break
            batch.append(entry)
        return batch
