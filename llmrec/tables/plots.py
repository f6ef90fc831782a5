"""The plots of a report as PNG and SVG: gains, what users gain, training curves, bias by fifths of the titles."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrec.atomic import atomic_file
from llmrec.tables.texts import heading

Data = dict[str, Any]
Shown = TypeVar("Shown")
PANEL = (4.2, 3.0)
"""Inches."""
COLOURS = ("#1b2a6b", "#d95f02", "#1b9e77", "#a6246f", "#7a6a00", "#4a90c2")
REFERENCE = "#999999"
CURVES = ("train/loss", "valid/ndcg@10")
BIASES = ("popularity", "relevance")


def write_plots(report: Data, folder: Path) -> list[Path]:
    """Writes <table>_<what>.png and .svg for each table that has something to draw; returns the PNG files."""
    tables = range(len(report["tables"]))
    # A figure takes about half a second.
    with ProcessPoolExecutor() as pool:
        written = pool.map(partial(_write, report, folder), *zip(*product(tables, KINDS), strict=True))
        return [file for file in written if file]


def _write(report: Data, folder: Path, number: int, what: str) -> Path | None:
    table = report["tables"][number]
    figure = KINDS[what](report, table)
    if figure is None:
        return None
    figure.suptitle(table["title"], fontsize=10)
    return _save(figure, folder / f"{table['name']}_{what}")


def gain_plot(report: Data, table: Data) -> Figure | None:
    """Gain over the reference in percent by row with the 95 % interval of the difference; a panel a metric and set."""
    tested = [metric for metric in table["metrics"] if metric["gains"] and _compared(table, metric)]
    if not tested:
        return None
    figure, panels = _panels(tested, table["datasets"])
    for axis, metric, dataset in panels:
        _draw_gains(axis, table, metric, dataset)
    return figure


def users_plot(report: Data, table: Data) -> Figure | None:
    """How many users gain or lose how much, of those who do either; a panel a metric and set, a line a row."""
    gains = [entry for entry in report["gains"] if entry["table"] == table["name"]]
    metrics = list(dict.fromkeys(entry["metric"] for entry in gains))
    if not metrics:
        return None
    figure, panels = _panels(metrics, table["datasets"])
    colours = _colours(table)
    for axis, metric, dataset in panels:
        axis.axvline(0, color="0.8", linewidth=1)
        for entry in gains:
            if (entry["metric"], entry["dataset"]) == (metric, dataset):
                label = f"{entry['row']}: {entry['better']} better, {entry['worse']} worse of {entry['users']}"
                axis.stairs(entry["counts"], entry["edges"], color=colours[entry["row"]], label=label)
        # Room for the legend.
        axis.set_ylim(0, 1.6 * axis.get_ylim()[1])
        _name(axis, dataset, f"difference in {metric} by user", "users")
    return figure


def curves_plot(report: Data, table: Data) -> Figure | None:
    """Training loss and validation NDCG@10 by step, a thin line a seed; a panel a curve and set; of compared rows."""
    runs = _runs(report, table) if any(_compared(table, metric) for metric in table["metrics"]) else []
    curves = [name for name in CURVES if any(name in run["curves"] for _, run in runs)]
    if not curves:
        return None
    figure, panels = _panels(curves, table["datasets"])
    colours = _colours(table)
    for axis, name, dataset in panels:
        named: set[str] = set()
        for row, run in runs:
            if run["dataset"] == dataset and name in run["curves"]:
                steps, values = zip(*run["curves"][name], strict=True)
                marker = "." if len(steps) <= 12 else ""
                label = None if row in named else row
                axis.plot(steps, values, color=colours[row], linewidth=1, marker=marker, label=label)
                named.add(row)
        _name(axis, dataset, "step", name)
    return figure


def bias_plot(report: Data, table: Data) -> Figure | None:
    """Shares of the lists (dots) and of the histories (bars) by fifths of the titles; for tables that measure bias."""
    if not any(metric["place"].startswith("fairness.") for metric in table["metrics"]):
        return None
    runs = [(row, run) for row, run in _runs(report, table) if run["fairness"]]
    groupings = [name for name in BIASES if any(name in run["fairness"] for _, run in runs)]
    if not groupings:
        return None
    figure, panels = _panels(groupings, table["datasets"])
    for axis, grouping, dataset in panels:
        measured = [(row, run) for row, run in runs if run["dataset"] == dataset and grouping in run["fairness"]]
        models = {run["reference"]["relevance"]["weights"] for _, run in measured if grouping == "relevance"}
        # Bins by relevance hold other titles under another reference model.
        if measured and len(models) <= 1:
            _draw_bias(axis, table, [(row, run["fairness"][grouping]) for row, run in measured])
        _name(axis, dataset, f"fifth of the titles by {grouping}, 1 = most", "share")
    return figure


KINDS: dict[str, Callable[[Data, Data], Figure | None]] = {
    "gain": gain_plot,
    "users": users_plot,
    "curves": curves_plot,
    "bias": bias_plot,
}


def _draw_gains(axis: Axes, table: Data, metric: Data, dataset: str) -> None:
    rows = [row for row in reversed(table["rows"]) if row["name"] != table["reference"]]
    axis.axvline(0, color="0.8", linewidth=1)
    for height, row in enumerate(rows):
        cell = row["cells"][dataset][metric["name"]]
        if cell and cell["gain_interval"] is not None:
            axis.plot(cell["gain_interval"], [height, height], color=COLOURS[0], linewidth=1.5)
            face = COLOURS[0] if cell["significant"] else "white"
            axis.plot(cell["gain"], height, "o", color=COLOURS[0], markerfacecolor=face)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.set_ylim(-0.7, len(rows) - 0.3)
    _name(axis, dataset, f"gain in {heading(metric)} over {table['reference']}, %; filled: significant", "")


def _draw_bias(axis: Axes, table: Data, found: Sequence[tuple[str, Data]]) -> None:
    colours, histories = _colours(table), found[0][1]["gh"]
    bins = np.arange(1, len(histories) + 1)
    axis.bar(bins, histories, width=0.8, color="0.88", label="histories")
    rows = list(dict.fromkeys(row for row, _ in found))
    for place, row in enumerate(rows):
        share = np.mean([bias["gp"] for name, bias in found if name == row], axis=0)
        axis.plot(
            bins + 0.6 * ((place + 0.5) / len(rows) - 0.5), share, "o", markersize=4, color=colours[row], label=row
        )


def _compared(table: Data, metric: Data) -> bool:
    cells = [cells[metric["name"]] for row in table["rows"] for cells in row["cells"].values()]
    return any(cell and cell["low"] is not None for cell in cells)


def _runs(report: Data, table: Data) -> list[tuple[str, Data]]:
    """The name of the row and the data of each of its runs."""
    ids = [(row["name"], name) for row in table["rows"] for names in row["runs"].values() for name in names]
    return [(row, report["runs"][name]) for row, name in ids]


def _colours(table: Data) -> dict[str, str]:
    """By row: the reference is grey."""
    others = [row["name"] for row in table["rows"] if row["name"] != table["reference"]]
    return {table["reference"]: REFERENCE} | {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}


def _panels(shown: Sequence[Shown], datasets: Sequence[str]) -> tuple[Figure, list[tuple[Axes, Shown, str]]]:
    """A figure with a line for each that is shown and a column for each set, and what belongs to each of its axes."""
    # Not by pyplot, which would keep the figure and choose a screen.
    figure = Figure(figsize=(PANEL[0] * len(datasets), PANEL[1] * len(shown) + 0.4))
    axes = figure.subplots(len(shown), len(datasets), squeeze=False)
    return figure, [(axis, *what) for axis, what in zip(axes.flat, product(shown, datasets), strict=True)]


def _name(axis: Axes, title: str, across: str, up: str) -> None:
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(across, fontsize=8)
    axis.set_ylabel(up, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.locator_params(axis="x", nbins=6)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)


def _save(figure: Figure, stem: Path) -> Path:
    # Once for both files; a layout engine would work out the places of everything anew for each.
    figure.tight_layout()
    for kind in ("svg", "png"):
        with atomic_file(stem.with_suffix(f".{kind}")) as temporary:
            figure.savefig(temporary, format=kind, dpi=120)
    return stem.with_suffix(".png")
