import numpy as np

from llmrec.datasets.kcore import k_core


def test_removal_goes_on_until_nothing_changes() -> None:
    # Item 2 has one event; without it user 1 has one left, so item 1 goes too: only users 2 and 3 stay.
    user = np.array([0, 1, 1, 2, 2, 3, 3])
    item = np.array([1, 1, 2, 3, 4, 3, 4])
    assert k_core(user, item, 2).tolist() == [3, 4, 5, 6]


def test_repeats_count_each_time() -> None:
    assert k_core(np.array([0, 0, 1]), np.array([5, 5, 5]), 2).tolist() == [0, 1]


def test_one_keeps_everything_and_too_much_keeps_nothing() -> None:
    user, item = np.array([0, 1, 1]), np.array([0, 0, 1])
    assert k_core(user, item, 1).tolist() == [0, 1, 2]
    assert k_core(user, item, 3).tolist() == []


def test_every_user_and_item_left_has_k() -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 60, 500), rng.integers(0, 80, 500)
    kept = k_core(user, item, 5)
    assert 0 < len(kept) < 500
    for side in (user, item):
        assert np.unique(side[kept], return_counts=True)[1].min() >= 5
