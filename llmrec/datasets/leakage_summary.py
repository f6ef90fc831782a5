"""Formats the leakage report for the console."""

from collections.abc import Mapping
from typing import Any

from llmrec.datasets.event_report import event_warnings
from llmrec.datasets.leakage import split_by
from llmrec.datasets.settings import LEAVE_ONE_OUT

LEAVE_ONE_OUT_NOTE = (
    "split leave_one_out: training rows of some users are later than test rows of others. Not comparable with a split "
    "by time"
)


def summary(report: Mapping[str, Any]) -> list[str]:
    """Formats the report as a few lines for the console."""
    counts, titles = report["counts"], report["titles"]
    lines = [
        ", ".join(f"{name}: {count['rows']:,} rows of {count['users']:,} users" for name, count in counts.items()),
        f"items {titles['items']:,}, distinct titles {titles['distinct']:,} (blank {titles['blank']}, "
        f"a prefix of another {titles['prefixes']:,})",
    ]
    lines += [
        f"{name} targets never seen in train {_percent(cold['never_seen'], cold['rows'])}, "
        f"never as a target {_percent(cold['never_a_target'], cold['rows'])}"
        for name, cold in report["cold_targets"].items()
        if name in ("valid", "test")
    ]
    for key, text in (
        ("repeated_targets", "target already in the history"),
        ("identical_rows", "identical rows"),
        ("windows_crossing_the_cut", "history reaches past the cut"),
        ("rows_at_the_boundary", "rows at the boundary timestamp"),
    ):
        if key in report:
            lines.append(f"{text}: " + ", ".join(f"{name} {count:,}" for name, count in report[key].items()))
    if report["k_core_over_whole_period"]:
        lines.append("the k-core was taken over the whole period, test included")
    lines += _irregularities(report)
    return lines + (_lists_summary(report["lists"]) if "lists" in report else [])


def short_summary(report: Mapping[str, Any]) -> list[str]:
    """Formats what every run shows of the report: a line on leakage, and one for each irregularity of the data."""
    shares = ", ".join(
        f"{name} {_percent(cold['never_seen'], cold['rows'])}"
        for name, cold in report["cold_targets"].items()
        if name in ("valid", "test")
    )
    lines = [f"targets never seen in train: {shares} (more in leakage.json)", *_irregularities(report)]
    return lines + (_lists_summary(report["lists"])[:1] if "lists" in report else [])


def _irregularities(report: Mapping[str, Any]) -> list[str]:
    lines = []
    if split_by(report) == LEAVE_ONE_OUT:
        lines.append(f"split leave_one_out, not by time{_later_rows(report)}")
    titles = report["titles"]
    dropped = {reason: count for reason, count in report.get("dropped", {}).items() if count}
    if dropped:
        lines.append("dropped: " + ", ".join(f"{reason} {count:,}" for reason, count in dropped.items()))
    if "times" in report:
        lines.append(f"times: {report['times']}")
    if report.get("ignored_columns"):
        lines.append("ignored columns: " + ", ".join(report["ignored_columns"]))
    if titles.get("with_special_tokens"):
        lines.append(
            f"titles with the text of a special token, such as </s>: {titles['with_special_tokens']:,}; "
            "it is read as text"
        )
    return lines + event_warnings(report.get("events"))


def _later_rows(report: Mapping[str, Any]) -> str:
    """Returns ": " and how much of train is later than the first test target, or "" if there are no times."""
    later = report.get("train_rows_after_the_first_test_target")
    if later is None:
        return ""
    share = f"{100 * later['share']:.1f} %"
    return f": {later['rows']:,} training rows ({share}) are later than the earliest test target"


def _lists_summary(report: Mapping[str, Any]) -> list[str]:
    splits = report["splits"]
    relevance = "rating" if report["by_ratings"] else "next item"
    sizes = ", ".join(f"{name} {counts['lists']:,} of {counts['users']:,} users" for name, counts in splits.items())
    lines = [
        f"lists of {report['candidates']} candidates ({report['negatives']} sampled), relevance by {relevance}: {sizes}"
    ]
    for key, text in (
        ("candidates_never_seen_in_train", "candidates never seen in train"),
        ("lists_with_a_candidate_in_the_history", "lists with a candidate's title in their history"),
        ("lists_of_equal_ratings", "lists dropped, all ratings equal"),
        ("lists_with_a_title_twice", "lists dropped, a title occurs twice"),
        ("events_left_over", "events dropped, too few left for a list"),
        ("events_without_history", "events dropped, history too short"),
        ("history_reaches_past_the_cut", "lists whose history reaches past the cut"),
        ("history_not_before_the_list", "lists whose history does not end before them"),
    ):
        if all(key in counts for counts in splits.values()):
            lines.append(f"{text}: " + ", ".join(f"{name} {counts[key]:,}" for name, counts in splits.items()))
    return lines


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
