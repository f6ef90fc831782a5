"""The notes below a table: how its figures were made, and what they are not."""

from llmrec.tables.figures import LEAST_SEEDS, LEVEL, SAMPLES, same_rows
from llmrec.tables.filled import Filled
from llmrec.tables.measures import has_sums


def notes(filled: Filled) -> list[str]:
    """Those that follow from what is there, then the table's own."""
    kinds = (_simulated, _selection, _reading, _significance, _untested, _once, _other_rows, _left_out)
    return [*(note for kind in kinds for note in kind(filled)), *filled.table.notes]


def _simulated(filled: Filled) -> list[str]:
    return ["Simulated data test the code; these figures say nothing about real users."] if filled.simulated else []


def _selection(filled: Filled) -> list[str]:
    if filled.preset.scores != "vocab":
        return []
    return ["Epochs were chosen on validation by NDCG@10 with trie scores; the figures are of vocab scores."]


def _reading(filled: Filled) -> list[str]:
    if not any(arm.runs for arm in filled.arms.values()):
        return []
    return [
        "± is the sample standard deviation over seeds; in brackets the change in percent of "
        f"{filled.table.reference}, over the seeds that both have."
    ]


def _significance(filled: Filled) -> list[str]:
    sizes = {name: len(found) for name, found in filled.paired.items() if found}
    if not sizes:
        return []
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    summed = [metric.name for metric in filled.table.metrics if metric.name in sizes and has_sums(metric.place)]
    drawn = f"; of {', '.join(summed)}, which are of all users together, by that bootstrap" if summed else ""
    return [
        "Differences are on the same test rows, each a mean over seeds; 95 % intervals are a bootstrap over users, "
        f"not corrected; p is by {SAMPLES:,} flips of the signs of whole users{drawn}; Holm's correction is over the "
        f"comparisons of a metric ({counts}), not over the metrics; * is p at most {LEVEL} with {LEAST_SEEDS} seeds or "
        "more. All of this is about other users, for the models as they were trained: what other seeds would give, ± "
        "alone hints at."
    ]


def _untested(filled: Filled) -> list[str]:
    untested = [metric.name for metric in filled.table.metrics if metric.name not in filled.table.tested]
    return [f"Not tested: {', '.join(untested)}."] if untested else []


def _once(filled: Filled) -> list[str]:
    once = [row.name for row in filled.table.rows if row.once]
    return [f"Run once, for no seed changes it: {', '.join(once)}."] if once else []


def _other_rows(filled: Filled) -> list[str]:
    reference = filled.table.reference
    return [
        f"{row} on {filled.labels[dataset]} is not compared with {reference}: it was measured on other rows."
        for (row, dataset), arm in filled.arms.items()
        if not same_rows(arm, filled.arms[reference, dataset])
    ]


def _left_out(filled: Filled) -> list[str]:
    return [
        f"Left out: {metric} of {row} on {filled.labels[dataset]}: runs have different reference models "
        f"({', '.join(models)})."
        for (metric, row, dataset), models in filled.left_out.items()
    ]
