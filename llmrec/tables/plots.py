"""The plots of a table as panels: gains, differences by user, training curves, and bias.

Each panel is drawn into a figure with all panels of its plot (plot_files.py) and separately for the page (page/svg.py).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from llmrec.tables.plot_style import AXIS, BETTER, HISTORIES, MUTED, SURFACE, WORSE, row_styles
from llmrec.tables.texts import heading

Data = dict[str, Any]
Runs = list[tuple[str, Data]]
"""Name of the row and data of each run."""
HEIGHT = 3.0
"""Height of a panel in inches."""
GAIN_ROW_HEIGHT = 0.4
"""Height of a row in a plot of gains in inches, for its name and the interval below it."""
CURVES = ("train/loss", "valid/ndcg@10")
GROUPINGS = ("popularity", "relevance")
FEW_POINTS = 12
"""Curves with at most this many points have markers, so that a run with a single point is visible."""


class Mark(NamedTuple):
    """A drawn artist.

    Attributes:
        artist: The artist.
        row: Name of the row that it shows, or None if it belongs to no row.
        text: Its values in words.
    """

    artist: Artist
    row: str | None
    text: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a plot.

    Attributes:
        topic: The metric, curve or grouping that it shows.
        dataset: The dataset that it shows.
        draw: Draws into axes and returns the marks, an empty list if there are no data.
        height: Height in inches, including the margins.
    """

    topic: str
    dataset: str
    draw: Callable[[Axes], list[Mark]]
    height: float = HEIGHT


def gain_panels(_: Data, table: Data) -> list[Panel]:
    """Returns panels of the gain over the reference in percent with its 95 % interval, for each tested metric."""
    tested = [metric for metric in table["metrics"] if metric["gains"] and _is_compared(table, metric)]
    height = 0.9 + GAIN_ROW_HEIGHT * (len(table["rows"]) - 1)
    return [
        Panel(metric["name"], dataset, partial(_draw_gains, table, metric, dataset), height)
        for metric, dataset in product(tested, table["datasets"])
    ]


def users_panels(report: Data, table: Data) -> list[Panel]:
    """Returns panels with a histogram for each row of the nonzero differences from the reference by user."""
    gains = [entry for entry in report["gains"] if entry["table"] == table["name"]]
    topics = dict.fromkeys(entry["metric"] for entry in gains)
    panels = []
    for topic, dataset in product(topics, table["datasets"]):
        shown = [entry for entry in gains if (entry["metric"], entry["dataset"]) == (topic, dataset)]
        panels.append(Panel(topic, dataset, partial(_draw_users, table, topic, dataset, shown)))
    return panels


def curves_panels(report: Data, table: Data) -> list[Panel]:
    """Returns panels of training loss and validation NDCG@10 by step, with a line for each run.

    Only tables that compare rows have them.
    """
    runs = _runs_of(report, table) if any(_is_compared(table, metric) for metric in table["metrics"]) else []
    topics = [name for name in CURVES if any(name in run["curves"] for _, run in runs)]
    panels = []
    for topic, dataset in product(topics, table["datasets"]):
        shown = [(row, run) for row, run in runs if run["dataset"] == dataset and topic in run["curves"]]
        panels.append(Panel(topic, dataset, partial(_draw_curves, table, topic, dataset, shown)))
    return panels


def bias_panels(report: Data, table: Data) -> list[Panel]:
    """Returns panels of the shares of the recommendations and of the histories by fifths of the titles.

    Only tables with a fairness metric have them.
    """
    if not any(metric["metric_path"].startswith("fairness.") for metric in table["metrics"]):
        return []
    runs = [(row, run) for row, run in _runs_of(report, table) if run["fairness"]]
    topics = [name for name in GROUPINGS if any(name in run["fairness"] for _, run in runs)]
    panels = []
    for topic, dataset in product(topics, table["datasets"]):
        shown = [(row, run) for row, run in runs if run["dataset"] == dataset and topic in run["fairness"]]
        panels.append(Panel(topic, dataset, partial(_draw_bias, table, topic, dataset, shown)))
    return panels


PLOTS: dict[str, Callable[[Data, Data], list[Panel]]] = {
    "gain": gain_panels,
    "users": users_panels,
    "curves": curves_panels,
    "bias": bias_panels,
}


def _draw_gains(table: Data, metric: Data, dataset: str, axis: Axes) -> list[Mark]:
    rows = [row for row in reversed(table["rows"]) if row["name"] != table["reference"]]
    cells = [row["cells"][dataset][metric["name"]] for row in rows]
    axis.axvline(0, color=AXIS, linewidth=0.8, zorder=0)
    marks = []
    for height, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        text = _gain_text(cell)
        _label_gain(axis, height, row["name"], text)
        if text:
            artists = _draw_gain(axis, height, metric, cell)
            marks += [Mark(artist, row["name"], f"{row['name']}: {text}{_interval_text(cell)}") for artist in artists]
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_ylim(-0.4, len(rows) - 0.1)
    _label(axis, dataset, f"gain in {heading(metric)} over {table['reference']}, %, * significant", "")
    return marks


def _draw_gain(axis: Axes, height: int, metric: Data, cell: Data) -> list[Artist]:
    """Draws a gain and its interval; a gain that is not significant is a hollow marker."""
    color = MUTED
    if cell["significant"] and metric["direction"]:
        color = BETTER if (cell["gain"] > 0) == (metric["direction"] == "higher") else WORSE
    face = color if cell["significant"] else SURFACE
    interval = axis.plot(cell["gain_interval"], [height, height], color=color, linewidth=1.5)
    return [*interval, *axis.plot(cell["gain"], height, "o", color=color, markerfacecolor=face)]


def _label_gain(axis: Axes, height: int, name: str, text: str) -> None:
    """Writes the row's name and its gain above its interval, where long names have enough space."""
    transform = axis.get_yaxis_transform()
    axis.text(0, height + 0.3, name, transform=transform, va="baseline", clip_on=True)
    axis.text(1, height + 0.3, text or "not compared", transform=transform, va="baseline", ha="right")


def _gain_text(cell: Data | None) -> str:
    """Formats a gain as "+12.3 %*"; "" if the row is not compared."""
    if not cell or cell["gain_interval"] is None:
        return ""
    return f"{cell['gain']:+.1f} %" + ("*" if cell["significant"] else "")


def _interval_text(cell: Data) -> str:
    low, high = cell["gain_interval"]
    return f", 95 % interval {low:+.1f} to {high:+.1f} %"


def _draw_users(table: Data, topic: str, dataset: str, gains: Sequence[Data], axis: Axes) -> list[Mark]:
    styles = row_styles(table)
    axis.axvline(0, color=AXIS, linewidth=0.8)
    marks = []
    for entry in gains:
        label = f"{entry['row']}: {entry['better']} better, {entry['worse']} worse"
        color, dash = styles[entry["row"]]
        outline = axis.stairs(entry["counts"], entry["edges"], color=color, linestyle=dash, label=label)
        marks.append(Mark(outline, entry["row"], f"{label}, {entry['same']} same of {entry['users']} users"))
    _label(axis, dataset, f"difference in {topic} by user", "users")
    return marks


def _draw_curves(table: Data, topic: str, dataset: str, runs: Runs, axis: Axes) -> list[Mark]:
    styles = row_styles(table)
    marks: list[Mark] = []
    for row, run in runs:
        steps, values = zip(*run["curves"][topic], strict=True)
        color, dash = styles[row]
        marker = "." if len(steps) <= FEW_POINTS else ""
        label = None if any(mark.row == row for mark in marks) else row
        (line,) = axis.plot(steps, values, color=color, linestyle=dash, linewidth=1, marker=marker, label=label)
        marks.append(Mark(line, row, f"{row}, seed {run['seed']}"))
    _label(axis, dataset, "step", topic)
    return marks


def _draw_bias(table: Data, topic: str, dataset: str, runs: Runs, axis: Axes) -> list[Mark]:
    _label(axis, dataset, f"fifth of the titles by {topic}, 1 = most", "share, %")
    # Under different reference models the fifths by relevance contain different titles.
    models = {run["reference"]["relevance"]["weights"] for _, run in runs if topic == "relevance"}
    if not runs or len(models) > 1:
        return []
    histories = _percent(runs[0][1]["fairness"][topic]["gh"])
    fifths = np.arange(1, len(histories) + 1)
    bars = axis.bar(fifths, histories, width=0.8, color=HISTORIES, label="histories")
    marks = [Mark(bar, None, f"histories: {share:.1f} %") for bar, share in zip(bars, histories, strict=True)]
    styles = row_styles(table)
    rows = list(dict.fromkeys(row for row, _ in runs))
    for index, row in enumerate(rows):
        shares = _percent(np.mean([run["fairness"][topic]["gp"] for name, run in runs if name == row], axis=0))
        color, dash = styles[row]
        positions = fifths + 0.6 * ((index + 0.5) / len(rows) - 0.5)
        face = color if dash == "solid" else SURFACE
        (dots,) = axis.plot(positions, shares, "o", markersize=4, color=color, markerfacecolor=face, label=row)
        marks.append(Mark(dots, row, f"{row}: " + ", ".join(f"{share:.1f} %" for share in shares)))
    return marks


def _percent(shares: Iterable[float]) -> list[float]:
    return [100 * share for share in shares]


def _is_compared(table: Data, metric: Data) -> bool:
    cells = [cells.get(metric["name"]) for row in table["rows"] for cells in row["cells"].values()]
    return any(cell and cell["low"] is not None for cell in cells)


def _runs_of(report: Data, table: Data) -> Runs:
    ids = [(row["name"], name) for row in table["rows"] for names in row["runs"].values() for name in names]
    return [(row, report["runs"][name]) for row, name in ids]


def _label(axis: Axes, title: str, x_label: str, y_label: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.locator_params(axis="x", nbins=6)
