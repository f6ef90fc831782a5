import numpy as np

from llmrec.datasets.interactions import Interactions
from llmrec.datasets.windows import windows

EVENTS = Interactions(
    user_ids=np.array(["a", "b"]),
    user=np.array([0, 0, 0, 0, 1, 1], dtype=np.int32),
    item=np.array([5, 6, 7, 8, 5, 9], dtype=np.int32),
    timestamp=np.array([1, 2, 3, 4, 2, 9]),
)


def test_windows_by_hand() -> None:
    rows, event = windows(EVENTS, min_history=1, max_history=2)
    found = [(rows.user[r], rows.history_of(r).tolist(), rows.target[r], rows.timestamp[r]) for r in range(len(rows))]
    assert found == [("a", [5], 6, 2), ("a", [5, 6], 7, 3), ("a", [6, 7], 8, 4), ("b", [5], 9, 9)]
    assert event.tolist() == [1, 2, 3, 5]


def test_shorter_histories_give_no_row() -> None:
    rows, event = windows(EVENTS, min_history=3, max_history=10)
    assert rows.history_of(0).tolist() == [5, 6, 7]
    assert (len(rows), event.tolist()) == (1, [3])


def test_no_window_at_all() -> None:
    rows, event = windows(EVENTS, min_history=4, max_history=10)
    assert (len(rows), len(event), rows.offsets.tolist()) == (0, 0, [0])


def test_ties_of_a_user_keep_the_order_of_the_file() -> None:
    given = Interactions(
        user_ids=np.array(["a", "b"]),
        user=np.array([1, 0, 0, 0], dtype=np.int32),
        item=np.array([9, 3, 1, 2], dtype=np.int32),
        timestamp=np.array([0, 7, 7, 5]),
    )
    assert given.take(given.by_user_and_time()).item.tolist() == [2, 3, 1, 9]
