"""Colors, sizes and matplotlib settings that all plots share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl

# The light colors in page/page.css: change both. The page replaces each by its variable,
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

# Any: the type of its keys is that of one matplotlib version.
SETTINGS: dict[Any, Any] = {
    # Names come from tables and data: a "$" in one starts no formula.
    "text.parse_math": False,
    "text.usetex": False,
    # Equal reports give equal files.
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
"""None leaves an entry out: a date would make equal plots differ."""


class RowStyle(NamedTuple):
    """How a row of a table is drawn."""

    color: str
    dash: str


@contextmanager
def plot_settings(**others: Any) -> Iterator[None]:
    """Draws and saves with SETTINGS and these others, whatever the user's matplotlibrc has.

    matplotlib reads some settings when text is created and others when a figure is saved: do both inside.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS | others)
        yield


def row_styles(table: dict[str, Any]) -> dict[str, RowStyle]:
    """By row name: gray for the reference; beyond six other rows the colors repeat with dashed lines."""
    others = [row["name"] for row in table["rows"] if row["name"] != table["reference"]]
    styles = {
        name: RowStyle(ROWS[place % len(ROWS)], "solid" if place < len(ROWS) else "dashed")
        for place, name in enumerate(others)
    }
    return {table["reference"]: RowStyle(REFERENCE, "solid")} | styles
