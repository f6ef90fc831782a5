"""The queue of a model: what waits together is answered together, up to its bounds."""

import threading
from concurrent.futures import Future

import pytest

from llmrec.serve.batching import BatchQueue, QueueFullError

SECONDS = 30


class Model:
    """Doubles numbers, and holds each batch back until the test lets it go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def double(self, numbers: list[int]) -> list[int]:
        self.batches.append(numbers)
        self.started.release()
        assert self.go.acquire(timeout=SECONDS)
        if 13 in numbers:
            raise RuntimeError("thirteen")
        return [2 * number for number in numbers]

    def busy_with(self, queue: BatchQueue[int, int], number: int) -> "Future[int]":
        """Submits a number and waits until the model works on it."""
        future = queue.submit(number)
        assert self.started.acquire(timeout=SECONDS)
        return future


def test_what_waits_together_is_one_batch_of_limited_size() -> None:
    model = Model()
    queue = BatchQueue(model.double, waiting=10, batch_size=3)
    futures = [model.busy_with(queue, 1), *map(queue.submit, (2, 3, 4, 5))]
    for _ in range(3):
        model.go.release()
    assert [future.result(SECONDS) for future in futures] == [2, 4, 6, 8, 10]
    assert model.batches == [[1], [2, 3, 4], [5]]
    queue.close()


def test_a_full_queue_refuses_and_a_canceled_request_is_not_computed() -> None:
    model = Model()
    queue = BatchQueue(model.double, waiting=2, batch_size=3)
    first, canceled, third = model.busy_with(queue, 1), queue.submit(2), queue.submit(3)
    with pytest.raises(QueueFullError):
        queue.submit(4)
    assert canceled.cancel()
    for _ in range(2):
        model.go.release()
    assert (first.result(SECONDS), third.result(SECONDS)) == (2, 6)
    assert model.batches == [[1], [3]]
    queue.close()


def test_a_batch_that_fails_does_not_end_the_queue() -> None:
    model = Model()
    queue = BatchQueue(model.double, waiting=2, batch_size=1)
    failed, after = model.busy_with(queue, 13), queue.submit(2)
    for _ in range(2):
        model.go.release()
    with pytest.raises(RuntimeError, match="thirteen"):
        failed.result(SECONDS)
    assert after.result(SECONDS) == 4
    queue.close()


def test_closing_answers_what_waits() -> None:
    model = Model()
    queue = BatchQueue(model.double, waiting=5, batch_size=2)
    futures = [model.busy_with(queue, 1), *map(queue.submit, (2, 3, 4))]
    for _ in range(3):
        model.go.release()
    queue.close()
    assert [future.result(0) for future in futures] == [2, 4, 6, 8]
    assert model.batches == [[1], [2, 3], [4]]
