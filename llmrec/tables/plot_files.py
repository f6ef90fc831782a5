"""Writes the plots of a report as PNG and SVG files."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmrec.atomic import atomic_file
from llmrec.tables.plot_style import SVG_METADATA, plot_settings
from llmrec.tables.plots import PLOTS, Data, Panel

WIDTH = 3.8
"""Width of a panel in inches, including its margins."""
LEFT, RIGHT, TOP, BOTTOM = 0.65, 0.15, 0.1, 0.5
"""Margins of a panel in inches, wide enough for the labels of its axes. They are fixed because a layout engine would
draw everything a second time to measure them."""
TITLE = 0.25
"""Height of a title in inches, for the title of each panel and for that of the figure."""


def write_plots(report: Data, folder: Path) -> list[Path]:
    """Writes each plot that has data to <table>_<plot>.png and .svg.

    Args:
        report: The report (`report_data`).
        folder: The folder for the files.

    Returns:
        The PNG files.
    """
    tables = range(len(report["tables"]))
    # Drawing a figure takes seconds.
    with ProcessPoolExecutor() as pool:
        written = pool.map(partial(_write, report, folder), *zip(*product(tables, PLOTS), strict=True))
        return [file for file in written if file]


def _write(report: Data, folder: Path, number: int, plot: str) -> Path | None:
    table = report["tables"][number]
    panels = PLOTS[plot](report, table)
    if not panels:
        return None
    stem = folder / f"{table['name']}_{plot}"
    with plot_settings():
        figure = _figure_of(panels, table)
        for kind, metadata in (("svg", SVG_METADATA), ("png", None)):
            with atomic_file(stem.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)
    return stem.with_suffix(".png")


def _figure_of(panels: Sequence[Panel], table: Data) -> Figure:
    """Draws the panels in a grid with a line for each topic and a column for each dataset."""
    columns = len(table["datasets"])
    line_height = max(panel.height for panel in panels)
    lines = len(panels) // columns
    # pyplot would keep a reference to the figure and choose a display.
    figure = Figure(figsize=(WIDTH * columns, line_height * lines + TITLE))
    figure.suptitle(table["title"], fontsize=10, y=1 - 0.05 / figure.get_figheight(), va="top")
    for index, panel in enumerate(panels):
        line, column = divmod(index, columns)
        axis = add_axes(figure, WIDTH * column, line_height * (lines - 1 - line), line_height)
        panel.draw(axis)
        _add_legend(axis)
    return figure


def add_axes(figure: Figure, left: float, bottom: float, height: float) -> Axes:
    """Adds the axes of a panel, inset by its margins.

    Args:
        figure: The figure that the panel is part of.
        left: Left edge of the panel in inches.
        bottom: Lower edge of the panel in inches.
        height: Height of the panel in inches.
    """
    figure_width, figure_height = figure.get_size_inches()
    inner_width, inner_height = WIDTH - LEFT - RIGHT, height - TITLE - TOP - BOTTOM
    return figure.add_axes(
        (
            (left + LEFT) / figure_width,
            (bottom + BOTTOM) / figure_height,
            inner_width / figure_width,
            inner_height / figure_height,
        )
    )


def _add_legend(axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        low, high = axis.get_ylim()
        # The legend needs space above the data.
        axis.set_ylim(low, high + 0.12 * len(handles) * (high - low))
        axis.legend(handles, labels, loc="upper right")
