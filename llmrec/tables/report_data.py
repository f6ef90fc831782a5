"""Builds a report as JSON-serializable data, from which the texts, the plots and the page are made."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from llmrec.tables.definition import Metric, Published, Row, Table
from llmrec.tables.figures import LEVEL, MIN_SEEDS, figure, gain, histogram, interval
from llmrec.tables.filled import FilledTable, fill, state_of
from llmrec.tables.notes import notes
from llmrec.tables.planned_runs import plan_runs
from llmrec.tables.run_data import run_data
from llmrec.tables.runs import Run

STATES = ("done", "running", "outdated", "failed", "interrupted", "not run", "cannot run")


def report_data(tables: Sequence[Table], scale: str) -> dict[str, Any]:
    """Collects the content of a report.

    Args:
        tables: The tables.
        scale: Name of the scale.

    Returns:
        JSON-serializable data: `tables`, `runs` (by path of the evaluation), `gains` (differences by user), and how the
        report was made.

    Raises:
        InputError: A record is of another task, score mode or dataset than its table, or a table has real and simulated
            datasets.
    """
    cells = {overrides: (cell, state_of(cell)) for overrides, cell in plan_runs(tables, scale).items()}
    runs = {overrides: Run(cell.job) for overrides, (cell, state) in cells.items() if cell.job and state.name == "done"}
    filled = [fill(table, scale, cells, runs) for table in tables]
    shown = {run.id: run_data(run) | {"archive": cells[overrides][0].read_from} for overrides, run in runs.items()}
    return assembled(f"Results, scale {scale}", filled, shown) | {"scale": scale}


def assembled(title: str, filled: Sequence[FilledTable], shown: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Assembles a report from filled tables.

    Args:
        title: Title of the report.
        filled: The tables.
        shown: Data of all runs (`run_data`) by path of the evaluation.
    """
    return {
        "title": title,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": _distinct(run["revision"] for run in shown.values()),
        "hardware": _hardware([run["hardware"] for run in shown.values()]),
        "tables": [_table(table) for table in filled],
        "runs": shown,
        "gains": [entry for table in filled for entry in _gains(table)],
    }


def _table(filled: FilledTable) -> dict[str, Any]:
    table, simulated = filled.table, filled.simulated
    counted = Counter(state.name for state in filled.states.values())
    return {
        "name": table.name,
        "title": table.title + (" (simulated data)" if simulated else ""),
        "about": table.about,
        "task": table.task,
        "scores": filled.preset.scores,
        "simulated": simulated,
        "reference": table.reference,
        "datasets": list(filled.labels.values()),
        "metrics": [asdict(metric) for metric in table.metrics],
        "rows": [_row(filled, row) for row in table.rows],
        "published": [_published(block, filled.preset.scores) for block in table.published],
        "counts": {state: counted[state] for state in STATES},
        "summary": _summary(filled),
        "notes": notes(filled),
    }


def _summary(filled: FilledTable) -> dict[str, Any]:
    """Returns the numbers of runs that are done, running and left, and the reasons why runs are left, in words."""
    states = list(filled.states.values())
    done, running = (sum(state.name == name for state in states) for name in ("done", "running"))
    left = Counter(state.summary for state in states if state.name not in ("done", "running"))
    reasons = [f"{count} {words}" for words, count in left.most_common()] if len(left) > 1 else list(left)
    return {"done": done, "running": running, "left": len(states) - done - running, "reasons": reasons}


def _row(filled: FilledTable, row: Row) -> dict[str, Any]:
    labels = filled.labels
    missing = {labels[dataset]: filled.missing(row, dataset) for dataset in labels}
    return {
        "name": row.name,
        "cells": {
            label: {metric.name: _cell(filled, row, dataset, metric) for metric in filled.table.metrics}
            for dataset, label in labels.items()
        },
        "missing": {label: words for label, words in missing.items() if words},
        "left_out": {
            label: [metric for metric, *key in filled.left_out if key == [row.name, dataset]]
            for dataset, label in labels.items()
        },
        "runs": {
            label: [run.id for run in filled.arms[row.name, dataset].runs.values()] for dataset, label in labels.items()
        },
    }


def _cell(filled: FilledTable, row: Row, dataset: str, metric: Metric) -> dict[str, Any] | None:
    arm, reference = (filled.arms[name, dataset] for name in (row.name, filled.table.reference))
    found = figure(list(arm.runs.values()), metric.metric_path)
    if found is None or (metric.name, row.name, dataset) in filled.left_out:
        return None
    relative = metric.gains and row.name != filled.table.reference
    compared = filled.paired.get(metric.name, {}).get((row.name, dataset))
    p = filled.p.get(metric.name, {}).get((row.name, dataset))
    return {
        "mean": found.mean,
        "std": found.std,
        "seeds": found.seeds,
        "interval": interval(list(arm.runs.values()), metric.metric_path) if filled.table.intervals else None,
        "gain": gain(arm, reference, metric.metric_path) if relative else None,
        "low": compared and compared.comparison.low,
        "high": compared and compared.comparison.high,
        "gain_interval": compared.gain_interval if compared and relative else None,
        "p": p,
        "significant": None if p is None or compared is None else p <= LEVEL and compared.seeds >= MIN_SEEDS,
    }


def _published(block: Published, scores: str | None) -> dict[str, Any]:
    remarks = [block.note] if block.note else []
    if block.scores and block.scores != scores:
        remarks.append(f"Not comparable: language models use {block.scores} scores here, {scores} in this table.")
    return {
        "source": block.source,
        "backbone": block.backbone,
        "selection": block.selection,
        "scores": block.scores,
        "note": " ".join(remarks) or None,
        "datasets": list(block.datasets),
        "metrics": list(block.metrics),
        "rows": block.figures,
    }


def _gains(filled: FilledTable) -> Iterator[dict[str, Any]]:
    """Yields the histogram of the differences from the reference by user, for each tested metric, row and dataset."""
    directions = {metric.name: metric.direction for metric in filled.table.metrics}
    for metric, compared in filled.paired.items():
        for (row, dataset), comparison in compared.items():
            if comparison.by_user is None:
                continue
            gained = -comparison.by_user if directions[metric] == "lower" else comparison.by_user
            edges, counts = histogram(comparison.by_user)
            yield {
                "table": filled.table.name,
                "row": row,
                "dataset": filled.labels[dataset],
                "metric": metric,
                "users": len(gained),
                "better": int((gained > 0).sum()),
                "same": int((gained == 0).sum()),
                "worse": int((gained < 0).sum()),
                "edges": edges,
                "counts": counts,
            }


def _hardware(found: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Joins the distinct values of each hardware fact over all runs."""
    facts = dict.fromkeys(name for hardware in found for name in hardware)
    return {name: _distinct(hardware.get(name) for hardware in found) or "none" for name in facts}


def _distinct(values: Iterable[Any]) -> str | None:
    texts = {", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values if value}
    return "; ".join(sorted(texts)) or None
