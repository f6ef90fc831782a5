"""The plots of a table as panels that draw themselves: gains, differences by user, training curves, bias.

A panel is drawn twice: into a figure of all panels of a plot (plot_files.py), and by itself for the page (page/svg.py).
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
"""Row name and data of each run."""
HEIGHT = 3.0
"""Height of a panel in inches."""
GAIN_ROW_HEIGHT = 0.4
"""Height of a row in a plot of gains in inches: its name above its interval."""
CURVES = ("train/loss", "valid/ndcg@10")
GROUPINGS = ("popularity", "relevance")
FEW_POINTS = 12
"""Curves of at most so many points have them marked, so that a run with a single point is visible."""


class Mark(NamedTuple):
    """Something drawn, the row of the table that it belongs to (None: to none), and its values in words."""

    artist: Artist
    row: str | None
    text: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a plot.

    Attributes:
        topic: the metric, curve or grouping that it shows.
        dataset: the dataset that it shows.
        draw: draws into axes and returns the marks; none where there are no data.
        height: in inches, margins included.
    """

    topic: str
    dataset: str
    draw: Callable[[Axes], list[Mark]]
    height: float = HEIGHT


def gain_panels(_: Data, table: Data) -> list[Panel]:
    """Gain over the reference in percent by row, with the 95 % interval of the difference; of tested metrics."""
    tested = [metric for metric in table["metrics"] if metric["gains"] and _is_compared(table, metric)]
    height = 0.9 + GAIN_ROW_HEIGHT * (len(table["rows"]) - 1)
    return [
        Panel(metric["name"], dataset, partial(_draw_gains, table, metric, dataset), height)
        for metric, dataset in product(tested, table["datasets"])
    ]


def users_panels(report: Data, table: Data) -> list[Panel]:
    """Histogram of the differences to the reference by user, of the users whose difference is not 0; a line a row."""
    gains = [entry for entry in report["gains"] if entry["table"] == table["name"]]
    topics = dict.fromkeys(entry["metric"] for entry in gains)
    panels = []
    for topic, dataset in product(topics, table["datasets"]):
        shown = [entry for entry in gains if (entry["metric"], entry["dataset"]) == (topic, dataset)]
        panels.append(Panel(topic, dataset, partial(_draw_users, table, topic, dataset, shown)))
    return panels


def curves_panels(report: Data, table: Data) -> list[Panel]:
    """Training loss and validation NDCG@10 by step, a line a seed; of tables that compare rows."""
    runs = _runs_of(report, table) if any(_is_compared(table, metric) for metric in table["metrics"]) else []
    topics = [name for name in CURVES if any(name in run["curves"] for _, run in runs)]
    panels = []
    for topic, dataset in product(topics, table["datasets"]):
        shown = [(row, run) for row, run in runs if run["dataset"] == dataset and topic in run["curves"]]
        panels.append(Panel(topic, dataset, partial(_draw_curves, table, topic, dataset, shown)))
    return panels


def bias_panels(report: Data, table: Data) -> list[Panel]:
    """Shares of the lists and of the histories by fifths of the titles; of tables with a fairness metric."""
    if not any(metric["place"].startswith("fairness.") for metric in table["metrics"]):
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
    """Draws the interval and, hollow where it is not significant, the gain."""
    color = MUTED
    if cell["significant"] and metric["better"]:
        color = BETTER if (cell["gain"] > 0) == (metric["better"] == "higher") else WORSE
    face = color if cell["significant"] else SURFACE
    interval = axis.plot(cell["gain_interval"], [height, height], color=color, linewidth=1.5)
    return [*interval, *axis.plot(cell["gain"], height, "o", color=color, markerfacecolor=face)]


def _label_gain(axis: Axes, height: int, name: str, text: str) -> None:
    """Writes the row's name and its gain above its interval, where the longest name has room."""
    across = axis.get_yaxis_transform()
    axis.text(0, height + 0.3, name, transform=across, va="baseline", clip_on=True)
    axis.text(1, height + 0.3, text or "not compared", transform=across, va="baseline", ha="right")


def _gain_text(cell: Data | None) -> str:
    """ "+12.3 %*"; empty where the row is not compared."""
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
        dots = "." if len(steps) <= FEW_POINTS else ""
        label = None if any(mark.row == row for mark in marks) else row
        (line,) = axis.plot(steps, values, color=color, linestyle=dash, linewidth=1, marker=dots, label=label)
        marks.append(Mark(line, row, f"{row}, seed {run['seed']}"))
    _label(axis, dataset, "step", topic)
    return marks


def _draw_bias(table: Data, topic: str, dataset: str, runs: Runs, axis: Axes) -> list[Mark]:
    _label(axis, dataset, f"fifth of the titles by {topic}, 1 = most", "share, %")
    # Fifths by relevance hold other titles under another reference model.
    models = {run["reference"]["relevance"]["weights"] for _, run in runs if topic == "relevance"}
    if not runs or len(models) > 1:
        return []
    histories = _percent(runs[0][1]["fairness"][topic]["gh"])
    fifths = np.arange(1, len(histories) + 1)
    bars = axis.bar(fifths, histories, width=0.8, color=HISTORIES, label="histories")
    marks = [Mark(bar, None, f"histories: {share:.1f} %") for bar, share in zip(bars, histories, strict=True)]
    styles = row_styles(table)
    rows = list(dict.fromkeys(row for row, _ in runs))
    for place, row in enumerate(rows):
        shares = _percent(np.mean([run["fairness"][topic]["gp"] for name, run in runs if name == row], axis=0))
        color, dash = styles[row]
        at = fifths + 0.6 * ((place + 0.5) / len(rows) - 0.5)
        face = color if dash == "solid" else SURFACE
        (dots,) = axis.plot(at, shares, "o", markersize=4, color=color, markerfacecolor=face, label=row)
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


def _label(axis: Axes, title: str, across: str, up: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.locator_params(axis="x", nbins=6)
