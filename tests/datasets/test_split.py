from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.split import check_splits, global_time_split, hold_out_latest
from llmrec.errors import InputError
from tests.datasets.layouts import rows


def test_split_by_hand() -> None:
    timestamp = np.array([9, 1, 8, 2, 7, 3, 6, 4, 5, 0])
    train, valid, test = global_time_split(timestamp, (0.8, 0.1, 0.1))
    assert timestamp[train].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (timestamp[valid].tolist(), timestamp[test].tolist()) == ([8], [9])


def test_rows_of_equal_time_keep_their_order_across_the_cut() -> None:
    train, valid, test = global_time_split(np.array([5, 5, 1, 5, 5]), (0.4, 0.4, 0.2))
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([2, 0], [1, 3], [4])


def test_shares_are_free_of_float_error() -> None:
    train, valid, test = global_time_split(np.arange(10), (0.1, 0.2, 0.7))
    assert (len(train), len(valid), len(test)) == (1, 2, 7)


def test_hold_out_takes_the_latest_and_of_ties_the_later_in_the_file() -> None:
    kept, held = hold_out_latest(np.array([4, 9, 4, 1, 4, 2, 3, 0, 0, 0]), 0.3)
    assert (kept.tolist(), held.tolist()) == ([0, 3, 5, 6, 7, 8, 9], [1, 2, 4])


EARLY = ("a", [1], 2, 10)
LATE = ("a", [1, 2], 3, 20)


def test_a_shared_boundary_and_repeats_inside_a_split_are_fine() -> None:
    check_splits([(Path("train.csv"), rows(EARLY, EARLY)), (Path("valid.csv"), rows(("b", [1], 2, 10), LATE))])


def test_one_row_in_two_splits_is_refused() -> None:
    splits = [(Path("train.csv"), rows(EARLY, LATE)), (Path("test.csv"), rows(("b", [1], 2, 20), LATE))]
    with pytest.raises(InputError, match=r"test\.csv, row 3: .* as train\.csv, row 3; the splits overlap\. Remove"):
        check_splits(splits)


def test_a_split_that_starts_before_the_earlier_one_ends_is_refused() -> None:
    splits = [(Path("train.csv"), rows(EARLY, LATE)), (Path("valid.csv"), rows(("b", [1], 2, 20), ("b", [1], 2, 19)))]
    with pytest.raises(InputError, match=r"valid\.csv, row 3: timestamp 19 .* train\.csv \(20, row 3\)\. Move"):
        check_splits(splits)
