"""Compares runs that a user chose, as a report like that of the tables in experiments/."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec.errors import InputError
from llmrec.tables.chosen_runs import ChosenRun, finished_runs, grouped, named_run, recommenders
from llmrec.tables.definition import Metric, Preset, Row, Table
from llmrec.tables.figures import RunsBySeed
from llmrec.tables.filled import FilledTable, State, filled_table
from llmrec.tables.measures import figure_of, has_sums, has_users, value
from llmrec.tables.planned_runs import TablePosition
from llmrec.tables.report_data import assembled
from llmrec.tables.run_data import run_data
from llmrec.tables.user_browser import browser_data

SHOWN = {
    "next_item": (
        "by_title.ndcg@10", "by_title.hr@10", "by_title.mrr@10", "fairness.popularity.mgu@10", "fairness.head20_share",
        "fairness.coverage", "hallucination.semantic_share",
    ),
    "candidates": (
        "by_title.hr@1", "by_title.hr@5", "by_title.ndcg@5", "by_title.ndcg@10", "unconstrained.hr@1",
        "unconstrained.valid_ratio",
    ),
    "rerank": ("by_list.ndcg@1", "by_list.ndcg@5", "by_list.ndcg@10", "position.ndcg_std", "position.kendall_tau"),
}  # fmt: skip
"""Metrics of a comparison by task, as far as they were measured."""
COSTS = (
    Metric("training", "cost.seconds_per_epoch", "lower", gains=False, digits=1, unit="s/epoch"),
    Metric("peak memory", "cost.peak_memory", "lower", gains=False, digits=2, unit="GiB"),
    Metric("ranking", "cost.rows_per_second", "higher", gains=False, digits=1, unit="rows/s"),
    Metric("ranking", "cost.lists_per_second", "higher", gains=False, digits=1, unit="lists/s"),
)
COST_OF = {"next_item": COSTS[:3], "candidates": COSTS[:3], "rerank": (*COSTS[:2], COSTS[3])}
INTERVALS = (
    "In square brackets: 95 % interval of the value over the choice of users; 1.96 standard errors clustered by user, "
    "or the percentile bootstrap over users for metrics of all rows together."
)
Rows = dict[str, dict[int, ChosenRun]]
"""Runs by name of the recommender and by seed."""


def comparison_data(folders: Sequence[Path], against: str | None, trust: bool = False) -> dict[str, Any]:
    """Collects the content of a comparison: one table for each group of comparable runs.

    Args:
        folders: Folders of runs.
        against: The recommender that the others are compared with (see `named_run`); None for the first of each table.
        trust: Accepts code that the runs' configs name, to read their histories; see `read_stored`.

    Returns:
        A report as from `report_data`, with `lines` above the tables and `browsers`, the sampled users by table.

    Raises:
        InputError: No run is finished, or `against` names none or several of them.
    """
    runs, lines = finished_runs(folders)
    groups = [recommenders(group) for group in grouped(runs)]
    references = [None if against is None else named_run(against, rows) for rows in groups]
    if against is not None and not any(references):
        choices = ", ".join(dict.fromkeys(name for rows in groups for name in rows))
        raise InputError(f"against={against}: none of the runs has this folder, key or name. Choose from {choices}")
    if len(groups) > 1:
        lines.insert(0, f"{len(groups)} tables, because the runs were measured on different sets, splits or test rows. "
                        "Values of different tables are not comparable.")  # fmt: skip
    names = _table_names(groups)
    filled = [
        _filled(name, rows, reference or next(iter(rows)), lines if against and not reference else None)
        for name, rows, reference in zip(names, groups, references, strict=True)
    ]
    shown = {run.run.id: run_data(run.run) | {"archive": None} for run in runs}
    title = f"Comparison of {len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    browsers = {name: browser_data(rows, trust) for name, rows in zip(names, groups, strict=True)}
    return assembled(title, filled, shown) | {"lines": lines, "browsers": browsers}


def _table_names(groups: Sequence[Rows]) -> list[str]:
    """Returns names for files: dataset and task, with a number where several groups share them."""
    names: list[str] = []
    for rows in groups:
        run = _first(rows).run
        name, number = f"{run.test['dataset']}-{run.task}", 2
        while name in names:
            name, number = f"{run.test['dataset']}-{run.task}-{number}", number + 1
        names.append(name)
    return names


def _filled(name: str, rows: Rows, reference: str, lines: list[str] | None) -> FilledTable:
    """Fills the table of a group; `lines` gets a line if the group does not have the requested reference."""
    run = _first(rows).run
    dataset, scores = str(run.test["dataset"]), {each.run.scores for row in rows.values() for each in row.values()}
    if lines is not None:
        lines.append(f"{name}: compared with {reference}, since it does not have the run that against= names.")
    count, unit = run.users.num_rows, "lists" if "lists" in run.test else "rows"
    users = len(run.users["user"].unique())
    # Records of earlier versions do not name their split.
    split = f" (split by {run.test['split_by']})" if "split_by" in run.test else ""
    notes = () if len(scores) == 1 else (f"Score modes differ: {', '.join(sorted(map(str, scores)))}.",)
    metrics = _metrics(rows)
    table = Table(
        name=name, title=f"{dataset}, {run.task}, {count:,} test {unit}",
        about=f"All runs ranked the same {count:,} test {unit} of {users:,} users{split}.",
        task=run.task, scores=None, reference=reference, metrics=metrics,
        tested=tuple(metric.name for metric in metrics if _is_tested(metric, rows)),
        rows=tuple(Row(row, (), once=_is_deterministic(found)) for row, found in rows.items()),
        presets={}, notes=(*notes, INTERVALS), intervals=True,
    )  # fmt: skip
    seeds = tuple(dict.fromkeys(seed for row in rows.values() for seed in row))
    preset = Preset("", (dataset,), seeds, (), scores.pop() if len(scores) == 1 else None)
    by_row = {row.name: rows[row.name] for row in table.rows}
    states = {
        TablePosition(row, dataset, seed, (row.name, str(seed))): State("done", "")
        for row in table.rows
        for seed in by_row[row.name]
    }
    arms = {
        (row, dataset): RunsBySeed({seed: chosen.run for seed, chosen in found.items()}, _is_deterministic(found))
        for row, found in rows.items()
    }
    return filled_table(table, preset, {dataset: dataset}, states, arms)


def _is_deterministic(runs: dict[int, ChosenRun]) -> bool:
    return all(chosen.is_deterministic for chosen in runs.values())


def _metrics(rows: Rows) -> tuple[Metric, ...]:
    """Returns the columns: shipped metrics that any run has, the user's own, and costs."""
    runs = [chosen.run for row in rows.values() for chosen in row.values()]
    task, found = runs[0].task, []
    for path in SHOWN.get(task, ()):
        figure = figure_of(path)
        assert figure is not None
        found.append(Metric(figure.label, path, figure.direction))
    own = dict.fromkeys(name for run in runs for name in run.record.get("metrics") or {})
    found += [Metric(name, f"{name}.mean") for name in own]
    found += COST_OF.get(task, ())
    return tuple(metric for metric in found if any(value(run, metric.metric_path) is not None for run in runs))


def _is_tested(metric: Metric, rows: Rows) -> bool:
    runs = [chosen.run for row in rows.values() for chosen in row.values()]
    if has_sums(metric.metric_path):
        return True
    return has_users(metric.metric_path) and all(metric.metric_path in run.users.column_names for run in runs)


def _first(rows: Mapping[str, Mapping[int, ChosenRun]]) -> ChosenRun:
    return next(iter(next(iter(rows.values())).values()))
