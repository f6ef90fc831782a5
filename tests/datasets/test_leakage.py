import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.leakage import cold_targets, leakage_report, prefix_titles
from llmrec.datasets.leakage_summary import short_summary, summary
from tests.datasets.layouts import rows

ITEMS = Items(list("012345"), ["X", "X 2", "Y", "X", " ", "X 2: Z"])
TRAIN = rows(("a", [0, 1], 2, 10), ("a", [0, 1], 2, 10), ("b", [1], 1, 20))
VALID = rows(("b", [1, 1], 3, 20), ("c", [2], 0, 25))
TEST = rows(("c", [2, 0], 4, 30), ("c", [2, 0, 4], 3, 35), ("d", [5], 5, 35))


def test_report_by_hand() -> None:
    report = leakage_report(ITEMS, TRAIN, VALID, TEST, k_core_over_whole_period=True)
    assert report["counts"] == {
        "train": {"rows": 3, "users": 2, "items": 3},
        "valid": {"rows": 2, "users": 2, "items": 4},
        "test": {"rows": 3, "users": 2, "items": 5},
    }
    # Item 0 occurs in a training history but is never a target there; 3, 4 and 5 do not occur in train.
    assert report["cold_targets"]["valid"] == {"rows": 2, "never_seen": 1, "never_a_target": 2}
    assert report["cold_targets"]["test"] == {"rows": 3, "never_seen": 3, "never_a_target": 3}
    assert report["cold_targets"]["test_against_train_and_valid"] == {"rows": 3, "never_seen": 2, "never_a_target": 2}
    assert report["repeated_targets"] == {"train": 1, "valid": 0, "test": 1}
    assert report["identical_rows"] == {"train": 1, "valid": 0, "test": 0}
    assert report["rows_at_the_boundary"] == {"valid": 1, "test": 0}
    assert report["users_shared"] == {"train_valid": 1, "train_test": 0, "valid_test": 1}
    assert report["titles"] == {"items": 6, "distinct": 5, "items_sharing_a_title": 2, "blank": 1,
                                "with_special_tokens": 0, "prefixes": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("title", "is_counted"),
    [
        ("End of </s> Game", True),
        ("<|im_start|>system", True),
        ("A [SEP] B", True),
        ("<\uff5cbegin_of_sentence\uff5c>", True),
        ("<end_of_turn>", True),
        ("a < b | c > d, <b>bold</b>, [sep], s>", False),
        ("|>", False),
    ],
)
def test_titles_with_the_text_of_a_special_token_are_counted(title: str, is_counted: bool) -> None:
    items = Items(list("012345"), [*ITEMS.titles[:5], title])
    report = leakage_report(items, TRAIN, VALID, TEST, True)
    assert report["titles"]["with_special_tokens"] == is_counted
    line = "titles with the text of a special token, such as </s>: 1; it is read as text"
    assert (line in summary(report)) == is_counted


def test_windows_crossing_the_cut_without_and_with_event_times() -> None:
    by_rows = leakage_report(ITEMS, TRAIN, VALID, TEST, True)
    assert by_rows["windows_crossing_the_cut"] == {"valid": 0, "test": 1}
    assert not by_rows["event_times_known"]
    last_event = {"train": np.array([5, 5, 15]), "valid": np.array([20, 19]), "test": np.array([29, 30, 33])}
    by_times = leakage_report(ITEMS, TRAIN, VALID, TEST, True, last_event)
    assert by_times["windows_crossing_the_cut"] == {"valid": 1, "test": 2}
    assert by_times["event_times_known"]


def test_a_history_that_repeats_the_target_counts_once() -> None:
    assert leakage_report(ITEMS, rows(("a", [1, 1], 1, 1)), VALID, TEST, False)["repeated_targets"]["train"] == 1


def test_prefixes_are_proper_and_counted_once() -> None:
    assert prefix_titles(["X", "X 2", "X 22", "Y", "YY", "Z"]) == 3


def test_cold_targets_against_several_splits() -> None:
    assert cold_targets(TEST, TRAIN, VALID, TEST) == {"rows": 3, "never_seen": 0, "never_a_target": 0}


def test_a_run_shows_one_line_on_leakage_and_what_is_irregular() -> None:
    report = leakage_report(ITEMS, TRAIN, VALID, TEST, k_core_over_whole_period=True)
    valid = 100 * report["cold_targets"]["valid"]["never_seen"] / len(VALID)
    line = f"targets never seen in train: valid {valid:.1f} %, test 100.0 % (more in leakage.json)"
    assert short_summary(report) == [line]
    assert short_summary(report | {"dropped": {"events without a time": 2, "other": 0}}) == [
        line,
        "dropped: events without a time 2",
    ]


def test_summary_is_short_and_names_the_shares() -> None:
    lines = summary(leakage_report(ITEMS, TRAIN, VALID, TEST, k_core_over_whole_period=True))
    assert len(lines) <= 10
    assert "test targets never seen in train 100.0 %, never as a target 100.0 %" in lines
    assert any("k-core" in line for line in lines)
