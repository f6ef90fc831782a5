"""The notes below a table: how its figures were made, and what they are not."""

from llmrec.tables.figures import LEVEL, SAMPLES, same_rows
from llmrec.tables.filled import Filled
from llmrec.tables.measures import has_users


def notes(filled: Filled) -> list[str]:
    """Those that follow from what is there, then the table's own."""
    kinds = (_simulated, _reading, _significance, _untested, _once, _other_rows)
    return [*(note for kind in kinds for note in kind(filled)), *filled.table.notes]


def _simulated(filled: Filled) -> list[str]:
    return ["Simulated data test the code; these figures say nothing about real users."] if filled.simulated else []


def _reading(filled: Filled) -> list[str]:
    if not any(arm.runs for arm in filled.arms.values()):
        return []
    return [
        "± is the sample standard deviation over seeds; in brackets the gain in percent of "
        f"{filled.table.reference}, over the seeds that both have."
    ]


def _significance(filled: Filled) -> list[str]:
    sizes = {name: len(found) for name, found in filled.paired.items() if found}
    if not sizes:
        return []
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return [
        "Differences are paired by test row, each a mean over seeds; 95 % intervals are a bootstrap over users; p is "
        f"by {SAMPLES:,} flips of the signs of whole users, with Holm's correction over the comparisons of a metric "
        f"({counts}); * is p at most {LEVEL}."
    ]


def _untested(filled: Filled) -> list[str]:
    untested = [metric for metric in filled.table.metrics if metric.name not in filled.table.tested]
    whole = [metric.name for metric in untested if not has_users(metric.place)]
    chosen = [metric.name for metric in untested if has_users(metric.place)]
    said = []
    if whole:
        said.append(f"Not tested, for there is no value of each user: {', '.join(whole)}.")
    if chosen:
        said.append(f"Not tested, so that the correction stays small: {', '.join(chosen)}.")
    return said


def _once(filled: Filled) -> list[str]:
    once = [row.name for row in filled.table.rows if row.once]
    return [f"Run once, for no seed changes it: {', '.join(once)}."] if once else []


def _other_rows(filled: Filled) -> list[str]:
    reference = filled.table.reference
    return [
        f"{row} on {filled.labels[dataset]} is not compared with {reference}: it was measured on other rows."
        for (row, dataset), arm in filled.arms.items()
        if filled.table.tested and not same_rows(arm, filled.arms[reference, dataset])
    ]
