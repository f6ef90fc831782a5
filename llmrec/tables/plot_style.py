"""Colors, sizes and matplotlib settings that all plots share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl

# These are the light colors in page/page.css; change both together. The page replaces each color by its CSS variable,
# so that plots follow the theme.
INK = "#1b1f24"
MUTED = "#586069"
AXIS = "#8b939b"
SURFACE = "#ffffff"
HISTORIES = "#d5d9dc"
BETTER = "#1663b0"
WORSE = "#b1450a"
REFERENCE = "#5f666d"
ROWS = ("#2d6cdf", "#c46f0c", "#1b9a57", "#96178e", "#6a4803", "#4a14c9")

# The type of the keys differs between versions of matplotlib, hence Any.
SETTINGS: dict[Any, Any] = {
    # Names come from tables and data, where a "$" does not start a formula.
    "text.parse_math": False,
    "text.usetex": False,
    # A fixed salt makes equal reports give equal files.
    "svg.hashsalt": "llmrec",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.fontsize": 7,
}
SVG_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""Entries of the metadata that are left out (None), since a date would make equal plots differ."""


class RowStyle(NamedTuple):
    """The color and line style of a row."""

    color: str
    dash: str


@contextmanager
def plot_settings(**others: Any) -> Iterator[None]:
    """Sets matplotlib to SETTINGS and `others`, independently of the user's matplotlibrc.

    matplotlib reads some settings when text is created and others when a figure is saved, so do both in this context.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS | others)
        yield


def row_styles(table: dict[str, Any]) -> dict[str, RowStyle]:
    """Returns the style of each row by name: gray for the reference; from the seventh other row on, dashed lines."""
    others = [row["name"] for row in table["rows"] if row["name"] != table["reference"]]
    styles = {
        name: RowStyle(ROWS[index % len(ROWS)], "solid" if index < len(ROWS) else "dashed")
        for index, name in enumerate(others)
    }
    return {table["reference"]: RowStyle(REFERENCE, "solid")} | styles
