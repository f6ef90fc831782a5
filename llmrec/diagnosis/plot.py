"""Plots attribution by segment and title position, before and after tuning."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrec.atomic import atomic_file
from llmrec.diagnosis.attribution import GENERATED_PREFIX, HISTORY, POSITIONS, TASK_TEXT

# Line styles and markers differ, so that the segments can be distinguished in black and white.
STYLES: dict[str, dict[str, Any]] = {
    TASK_TEXT: {"color": "#d95f02", "linestyle": "--", "marker": "s"},
    GENERATED_PREFIX: {"color": "#999999", "linestyle": ":", "marker": "^"},
    HISTORY: {"color": "#1b2a6b", "linestyle": "-", "marker": "o"},
}
POSITION_LABELS = [*map(str, range(POSITIONS)), f"{POSITIONS}+"]


def write_plot(folder: Path, title: str, panels: dict[str, dict[str, Any]]) -> None:
    """Writes attribution.png and attribution.svg.

    Args:
        folder: Where to write them.
        title: The title, which names dataset and objective.
        panels: The heading of each panel and its `attribution_figures`.
    """
    figure = attribution_plot(title, panels)
    for kind in ("png", "svg"):
        with atomic_file(folder / f"attribution.{kind}") as temporary:
            figure.savefig(temporary, format=kind, dpi=150)


def attribution_plot(title: str, panels: dict[str, dict[str, Any]]) -> Figure:
    """Draws mean attribution in nats by title position, one line per segment; arguments as in `write_plot`."""
    # pyplot would keep the figure in memory and select a display backend.
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (heading, figures) in zip(axes, panels.items(), strict=True):
        _draw(axis, heading, figures["by_position"]["mean"])
    axes[0].set_ylabel("mean attribution (nats)")
    axes[0].legend()
    return figure


def _draw(axis: Axes, heading: str, means: dict[str, list[float | None]]) -> None:
    axis.axhline(0, color="0.8", linewidth=1)
    for segment, style in STYLES.items():
        # None becomes NaN, which matplotlib draws as a gap.
        axis.plot(range(len(POSITION_LABELS)), np.array(means[segment], dtype=float), label=segment, **style)
    axis.set_title(heading)
    axis.set_xlabel("position in the title (tokens)")
    axis.set_xticks(range(len(POSITION_LABELS)), POSITION_LABELS)
