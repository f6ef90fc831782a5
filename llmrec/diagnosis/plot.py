"""The figure of a diagnosis: what each segment is worth along the title, before and after tuning."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrec.atomic import atomic_file
from llmrec.diagnosis.attribution import GENERATED_PREFIX, HISTORY, POSITIONS, TASK_TEXT

# Dark to light, and told apart by line and marker where colour is not printed.
STYLES: dict[str, dict[str, Any]] = {
    TASK_TEXT: {"color": "#d95f02", "linestyle": "--", "marker": "s"},
    GENERATED_PREFIX: {"color": "#999999", "linestyle": ":", "marker": "^"},
    HISTORY: {"color": "#1b2a6b", "linestyle": "-", "marker": "o"},
}
PLACES = [*map(str, range(POSITIONS)), f"{POSITIONS}+"]


def write_plot(folder: Path, title: str, panels: dict[str, dict[str, Any]]) -> None:
    """Writes attribution.png and attribution.svg.

    title: names dataset and objective; panels: the heading of each panel and its `attribution_figures`.
    """
    figure = attribution_plot(title, panels)
    for kind in ("png", "svg"):
        with atomic_file(folder / f"attribution.{kind}") as temporary:
            figure.savefig(temporary, format=kind, dpi=150)


def attribution_plot(title: str, panels: dict[str, dict[str, Any]]) -> Figure:
    """Mean attribution in nats by title position, a line a segment, a panel each; arguments as in `write_plot`."""
    # Not by pyplot, which would keep the figure and choose a screen.
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
        # None becomes NaN, which leaves a gap.
        axis.plot(range(len(PLACES)), np.array(means[segment], dtype=float), label=segment, **style)
    axis.set_title(heading)
    axis.set_xlabel("position in the title (tokens)")
    axis.set_xticks(range(len(PLACES)), PLACES)
