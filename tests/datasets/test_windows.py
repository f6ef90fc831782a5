import numpy as np

from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from llmrec.datasets.windows import ROWS_AT_A_TIME, windows

EVENTS = Interactions(
    user_ids=np.array(["a", "b"]),
    user=np.array([0, 0, 0, 0, 1, 1], dtype=np.int32),
    item=np.array([5, 6, 7, 8, 5, 9], dtype=np.int32),
    timestamp=np.array([1, 2, 3, 4, 2, 9]),
)


def all_rows(events: Interactions, min_history: int, max_history: int) -> tuple[Rows, np.ndarray]:
    found = windows(events, min_history, max_history)
    return found.rows(np.arange(len(found))), found.target


def test_windows_by_hand() -> None:
    rows, event = all_rows(EVENTS, min_history=1, max_history=2)
    found = [
        (EVENTS.user_ids[rows.user[r]], rows.history_of(r).tolist(), rows.target[r], rows.timestamp[r])
        for r in range(len(rows))
    ]
    assert found == [("a", [5], 6, 2), ("a", [5, 6], 7, 3), ("a", [6, 7], 8, 4), ("b", [5], 9, 9)]
    assert event.tolist() == [1, 2, 3, 5]


def test_shorter_histories_give_no_row() -> None:
    rows, event = all_rows(EVENTS, min_history=3, max_history=10)
    assert rows.history_of(0).tolist() == [5, 6, 7]
    assert (len(rows), event.tolist()) == (1, [3])


def test_no_window_at_all() -> None:
    rows, event = all_rows(EVENTS, min_history=4, max_history=10)
    assert (len(rows), len(event), rows.offsets.tolist()) == (0, 0, [0])


def test_ties_of_a_user_keep_the_order_of_the_file() -> None:
    given = Interactions(
        user_ids=np.array(["a", "b"]),
        user=np.array([1, 0, 0, 0], dtype=np.int32),
        item=np.array([9, 3, 1, 2], dtype=np.int32),
        timestamp=np.array([0, 7, 7, 5]),
    )
    assert given.take(given.by_user_and_time()).item.tolist() == [2, 3, 1, 9]


def test_many_windows_have_the_events_before_their_target() -> None:
    count = ROWS_AT_A_TIME + 10
    item = np.arange(count, dtype=np.int32)
    found = windows(Interactions(np.array(["a"]), np.zeros(count, dtype=np.int32), item, np.arange(count)), 2, 3)
    index = np.arange(len(found))[::-1]
    rows = found.rows(index)
    assert rows.history_of(0).tolist() == [count - 4, count - 3, count - 2]
    assert (rows.target == found.target[index]).all()
    lengths = np.diff(rows.offsets)
    expected = np.repeat(rows.target, lengths) - lengths[rows.history_row]
    assert (rows.history == expected + np.arange(len(rows.history)) - rows.offsets[:-1][rows.history_row]).all()


def test_times_that_span_too_much_to_be_packed_are_sorted() -> None:
    time = np.array([2**62, 5, -(2**62), 5])
    given = Interactions(np.array(["a", "b"]), np.array([0, 1, 0, 0], dtype=np.int32), np.arange(4), time)
    assert given.by_user_and_time().tolist() == [2, 3, 0, 1]
