"""The notes below a table: how its values were computed, and their limits."""

from llmrec.datasets.leakage_summary import LEAVE_ONE_OUT_NOTE
from llmrec.datasets.settings import LEAVE_ONE_OUT
from llmrec.evaluation.few_users import few_users_warning
from llmrec.protocol import recorded_protocol
from llmrec.tables.figures import LEVEL, MIN_SEEDS, SAMPLES, same_rows
from llmrec.tables.filled import FilledTable
from llmrec.tables.measures import has_sums


def notes(filled: FilledTable) -> list[str]:
    """Returns the notes that follow from the values in the table, then those of its YAML."""
    kinds = (
        _simulated,
        _leave_one_out,
        _few_users,
        _protocols,
        _edited,
        _selection,
        _reading,
        _significance,
        _untested,
        _once,
        _other_rows,
        _other_seeds,
        _left_out,
        _shared_devices,
    )
    return [*(note for kind in kinds for note in kind(filled)), *filled.table.notes]


def _simulated(filled: FilledTable) -> list[str]:
    return (
        ["The data are simulated: they test the code, and the values say nothing about real users."]
        if filled.simulated
        else []
    )


def _leave_one_out(filled: FilledTable) -> list[str]:
    left = dict.fromkeys(
        run.test["dataset"]
        for arm in filled.arms.values()
        for run in arm.runs.values()
        if run.test.get("split_by") == LEAVE_ONE_OUT
    )
    return [f"{dataset}: {LEAVE_ONE_OUT_NOTE}." for dataset in left]


def _few_users(filled: FilledTable) -> list[str]:
    runs = [run for arm in filled.arms.values() for run in arm.runs.values()]
    users = dict.fromkeys((run.test["dataset"], run.test["users"]) for run in runs)
    warnings = [(dataset, few_users_warning(count)) for dataset, count in users]
    return [f"{dataset}: test has {warning}." for dataset, warning in warnings if warning]


def _protocols(filled: FilledTable) -> list[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for (row, dataset), arm in filled.arms.items():
        for protocol in dict.fromkeys(recorded_protocol(run.test) for run in arm.runs.values()):
            rows.setdefault((filled.labels[dataset], protocol), []).append(row)
    found: dict[str, list[str]] = {}
    for (label, protocol), names in rows.items():
        found.setdefault(label, []).append(f"{protocol} ({', '.join(names)})")
    return [
        f"Protocol on {label}: {protocols[0].partition(' ')[0]}."
        if len(protocols) == 1
        else f"Protocols on {label} differ, as in items, decoding or versions: {'; '.join(protocols)}."
        for label, protocols in found.items()
    ]


def _edited(filled: FilledTable) -> list[str]:
    edited = {name for arm in filled.arms.values() for run in arm.runs.values() for name in run.edited}
    return [f"Made with edited code: {', '.join(sorted(edited))}."] if edited else []


def _selection(filled: FilledTable) -> list[str]:
    if filled.preset.scores != "vocab":
        return []
    return ["Epochs were chosen by NDCG@10 on validation with trie scores; the values shown are for vocab scores."]


def _reading(filled: FilledTable) -> list[str]:
    if not any(arm.runs for arm in filled.arms.values()):
        return []
    return [
        "± is the sample standard deviation over seeds. In brackets: the change relative to "
        f"{filled.table.reference} in percent, over the seeds that both have."
    ]


def _significance(filled: FilledTable) -> list[str]:
    sizes = {name: len(found) for name, found in filled.paired.items() if found}
    if not sizes:
        return []
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    summed = [metric.name for metric in filled.table.metrics if metric.name in sizes and has_sums(metric.metric_path)]
    resampled = f" (for {', '.join(summed)}, which are computed over all users together: that bootstrap)"
    return [
        "Differences are means over seeds on the same test rows. 95 % intervals: bootstrap over users, not corrected "
        f"for multiple comparisons. p-values: {SAMPLES:,} random sign flips of the differences of whole users"
        f"{resampled if summed else ''}, with Holm's correction over the comparisons of a metric ({counts}), not over "
        f"the metrics. *: p at most {LEVEL} and at least {MIN_SEEDS} seeds. Intervals and p-values cover the choice "
        "of users for the models as trained; only ± indicates how much results vary between seeds."
    ]


def _untested(filled: FilledTable) -> list[str]:
    untested = [metric.name for metric in filled.table.metrics if metric.name not in filled.table.tested]
    return [f"Not tested: {', '.join(untested)}."] if untested else []


def _once(filled: FilledTable) -> list[str]:
    once = [row.name for row in filled.table.rows if row.once]
    return [f"Deterministic and therefore run once: {', '.join(once)}."] if once else []


def _other_rows(filled: FilledTable) -> list[str]:
    reference = filled.table.reference
    return [
        f"{row} on {filled.labels[dataset]} is not compared with {reference}: it was measured on other test rows."
        for (row, dataset), arm in filled.arms.items()
        if not same_rows(arm, filled.arms[reference, dataset])
    ]


def _other_seeds(filled: FilledTable) -> list[str]:
    reference, found = filled.table.reference, []
    for (row, dataset), arm in filled.arms.items():
        other = filled.arms[reference, dataset]
        is_fixed = arm.is_deterministic or other.is_deterministic
        if arm.runs and other.runs and not is_fixed and not arm.runs.keys() & other.runs.keys():
            seeds = " and ".join(", ".join(map(str, sorted(runs))) for runs in (arm.runs, other.runs))
            found.append(
                f"{row} on {filled.labels[dataset]} is not compared with {reference}: they have no seed in common "
                f"({seeds}). Run it with a seed of the other."
            )
    return found


def _left_out(filled: FilledTable) -> list[str]:
    return [
        f"Left out: {metric} of {row} on {filled.labels[dataset]}: runs have different reference models "
        f"({', '.join(models)})."
        for (metric, row, dataset), models in filled.left_out.items()
    ]


def _shared_devices(filled: FilledTable) -> list[str]:
    costs = [metric.name for metric in filled.table.metrics if metric.metric_path.startswith("cost.")]
    shared = dict.fromkeys(
        row for (row, _), arm in filled.arms.items() if any(run.shared_device for run in arm.runs.values())
    )
    if not costs or not shared:
        return []
    rows = "all runs" if len(shared) == len(filled.table.rows) else ", ".join(shared)
    return [
        f"Measured while other jobs used the same GPU or cores, which slows runs down ({', '.join(costs)}): {rows}."
    ]
