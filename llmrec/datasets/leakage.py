"""Counts leakage between splits and irregularities of titles. Nothing is removed."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.repeats import candidates
from llmrec.datasets.settings import LEAVE_ONE_OUT
from llmrec.datasets.split import row_keys

_SPECIAL_TOKEN = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<\uff5c[^\uff5c<>]{1,40}\uff5c>|</?s>|<(?:pad|unk|bos|eos|mask|cls|sep|(?:start|end)_of_turn)>"
    r"|\[(?:PAD|UNK|MASK|CLS|SEP|BOS|EOS|/?INST)\]|<</?SYS>>"
)
"""Texts of special tokens of common tokenizers, since a dataset is prepared without a tokenizer."""
_AT_THE_CUTS = ("windows_crossing_the_cut", "event_times_known", "rows_at_the_boundary")
"""Entries of the report about the times at which one split ends and the next one starts."""


def leakage_report(
    items: Items,
    train: Rows,
    valid: Rows,
    test: Rows,
    k_core_over_whole_period: bool,
    last_event: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Counts leakage between the splits and irregularities of the titles.

    Args:
        items: The catalogue.
        train: Training rows.
        valid: Validation rows.
        test: Test rows.
        k_core_over_whole_period: Whether the k-core filter saw interactions after the split boundaries, so that the
            choice of items leaks a little.
        last_event: Time of each row's last history event by split, int64 [rows]; None if unknown. If it is known
            (layouts with interactions), "windows_crossing_the_cut" counts the rows of valid and test whose history
            reaches into the period of their own split. Published layouts keep only the times of the targets. For them
            it counts the rows whose user has an earlier row in the same split. This is the same number except for
            users whose first events were too few for a row: a lower bound.

    Returns:
        The report as plain JSON values.
    """
    splits = {"train": train, "valid": valid, "test": test}
    users = {name: np.unique(rows.user) for name, rows in splits.items()}
    return {
        "counts": {name: _counts(rows, users[name]) for name, rows in splits.items()},
        "cold_targets": {
            "valid": cold_targets(valid, train),
            "test": cold_targets(test, train),
            "test_against_train_and_valid": cold_targets(test, train, valid),
        },
        "repeated_targets": {name: repeated_targets(rows) for name, rows in splits.items()},
        "identical_rows": {name: identical_rows(rows) for name, rows in splits.items()},
        "windows_crossing_the_cut": {
            name: _crossing(splits[name], last_event[name] if last_event else None) for name in ("valid", "test")
        },
        "event_times_known": last_event is not None,
        "rows_at_the_boundary": {"valid": _at_boundary(train, valid), "test": _at_boundary(valid, test)},
        "users_shared": {
            f"{one}_{other}": len(np.intersect1d(users[one], users[other], assume_unique=True))
            for one, other in itertools.combinations(splits, 2)
        },
        "titles": _titles(items),
        "k_core_over_whole_period": k_core_over_whole_period,
    }


def leave_one_out_report(report: Mapping[str, Any], train: Rows, test: Rows) -> dict[str, Any]:
    """Adapts the report to splits by `leave_one_out`, which have no cut in time.

    Args:
        report: The leakage report.
        train: Training rows.
        test: Test rows.

    Returns:
        The report without what it counts at the cuts, and with "split_by" and "train_rows_after_the_first_test_target":
        the number ("rows") and the share of the training rows that are later than the earliest target in test.
    """
    later = int((train.timestamp > test.timestamp.min()).sum())
    kept = {name: entry for name, entry in report.items() if name not in _AT_THE_CUTS}
    leaked = {"rows": later, "share": later / len(train)}
    return {**kept, "split_by": LEAVE_ONE_OUT, "train_rows_after_the_first_test_target": leaked}


def split_by(report: Mapping[str, Any]) -> str:
    """Returns how the splits of a report were made: "time" or "leave_one_out"."""
    return str(report.get("split_by", "time"))


def cold_targets(rows: Rows, *seen: Rows) -> dict[str, int]:
    """Counts the targets that do not occur in `seen` at all ("never_seen") or not as a target ("never_a_target")."""
    targets = [split.target for split in seen]
    occurs = _marked(*targets, *(split.history for split in seen), size=1 + int(rows.target.max(initial=-1)))
    is_target = _marked(*targets, size=len(occurs))
    return {
        "rows": len(rows),
        "never_seen": int((~occurs[rows.target]).sum()),
        "never_a_target": int((~is_target[rows.target]).sum()),
    }


def repeated_targets(rows: Rows) -> int:
    """Counts the rows whose target is already in their history."""
    repeats = np.flatnonzero(rows.history == np.repeat(rows.target, np.diff(rows.offsets)))
    return len(np.unique(np.searchsorted(rows.offsets, repeats, side="right")))


def identical_rows(rows: Rows) -> int:
    """Counts the rows that repeat an earlier row of the split: same user, items and timestamp."""
    possible = rows.take(candidates(rows.user_number, rows.timestamp, rows.target))
    return len(possible) - len(set(row_keys(possible)))


def prefix_titles(titles: list[str]) -> int:
    """Counts the titles (which must be distinct) that are a proper prefix of another one."""
    ordered = sorted(titles)
    # In sorted order everything that begins with a title follows it directly.
    return sum(longer.startswith(title) for title, longer in itertools.pairwise(ordered))


def _marked(*indices: np.ndarray, size: int = 0) -> np.ndarray:
    """Returns which item indices occur, bool [at least `size`]."""
    occurs = np.zeros(max(size, *(1 + int(index.max(initial=-1)) for index in indices)), dtype=bool)
    for index in indices:
        occurs[index] = True
    return occurs


def _counts(rows: Rows, users: np.ndarray) -> dict[str, int]:
    occurs = _marked(rows.target, rows.history)
    return {"rows": len(rows), "users": len(users), "items": int(occurs.sum())}


def _crossing(rows: Rows, last_event: np.ndarray | None) -> int:
    if last_event is not None:
        return int((last_event >= rows.timestamp.min()).sum())
    return len(rows) - len(np.unique(rows.user))


def _at_boundary(earlier: Rows, later: Rows) -> int:
    return int((later.timestamp == earlier.timestamp.max()).sum())


def _titles(items: Items) -> dict[str, int]:
    shared = Counter(items.titles)
    return {
        "items": len(items),
        "distinct": len(shared),
        "items_sharing_a_title": sum(count for count in shared.values() if count > 1),
        "blank": sum(not title.strip() for title in items.titles),
        "with_special_tokens": sum(_SPECIAL_TOKEN.search(title) is not None for title in items.titles),
        "prefixes": prefix_titles([title for title in shared if title.strip()]),
    }
