"""Renders the plots of a report as HTML, with a menu of metrics, curves or groupings and buttons that hide rows."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from html import escape
from itertools import product
from typing import NamedTuple

from llmrec.tables.page.svg import Drawing, draw_panel, with_variables
from llmrec.tables.plot_style import RowStyle, row_styles
from llmrec.tables.plots import PLOTS, Data


class PlotTexts(NamedTuple):
    """Texts of a plot.

    Attributes:
        title: Title.
        about: How to read the plot.
        nothing: Text that is shown if there are no data.
        choice: Label of the menu of topics.
    """

    title: str
    about: str
    nothing: str
    choice: str


PLOT_TEXTS = {
    "gain": PlotTexts(
        "Gain over {reference}",
        "In percent of the reference's mean, with the 95 % interval of the difference (not corrected); "
        "filled: significant (corrected).",
        "No gains: nothing is compared with {reference} yet.",
        "metric",
    ),
    "users": PlotTexts(
        "Gain by user",
        "Difference from {reference} by user, mean over seeds; users without a difference are left out.",
        "No gains by user: none are compared with {reference} yet.",
        "metric",
    ),
    "curves": PlotTexts(
        "Training curves",
        "One line per seed. Losses of different objectives are not comparable.",
        "No training curves: none of the compared runs has any.",
        "curve",
    ),
    "bias": PlotTexts(
        "Popularity and relevance bias",
        "Share of the recommendations (dots, mean over seeds) and of the histories (bars), by fifths of the titles.",
        "No popularity and relevance bias: none of the runs was measured for it.",
        "fifths by",
    ),
}


def page_plots(report: Data) -> dict[str, str]:
    """Draws all plots of a report and returns their HTML by name of the table."""
    tables = range(len(report["tables"]))
    # A panel takes a tenth of a second or more, and a report may have a hundred.
    with ProcessPoolExecutor() as pool:
        parts = pool.map(partial(_plot, report), *zip(*product(tables, PLOTS), strict=True))
        return {table["name"]: "".join(next(parts) for _ in PLOTS) for table in report["tables"]}


def _plot(report: Data, number: int, plot: str) -> str:
    table = report["tables"][number]
    texts = PlotTexts(*(escape(text.format(reference=table["reference"])) for text in PLOT_TEXTS[plot]))
    rows = {row["name"]: index for index, row in enumerate(table["rows"])}
    panels = enumerate(PLOTS[plot](report, table))
    drawings = [drawing for index, panel in panels if (drawing := draw_panel(panel, f"{plot}{number}-{index}-", rows))]
    if not drawings:
        return f'<p class="nothing muted">{texts.nothing}</p>'
    topics = list(dict.fromkeys(drawing.panel.topic for drawing in drawings))
    # A plot of gains names its rows itself and needs no legend.
    legend = "" if plot == "gain" else _legend(table, rows, drawings)
    figures = "".join(_figure(drawing, topics, rows, plot == "users") for drawing in drawings)
    return (
        f'<details class="plots" open><summary><h3>{texts.title}</h3></summary><p class="muted">{texts.about}</p>'
        f'<div class="controls">{_choice(texts.choice, topics)}{legend}</div>'
        f'<div class="board">{figures}</div></details>'
    )


def _choice(label: str, topics: Sequence[str]) -> str:
    options = "".join(f'<option value="{index}">{escape(topic)}</option>' for index, topic in enumerate(topics))
    return f'<label class="choice">{label} <select>{options}</select></label>'


def _legend(table: Data, rows: dict[str, int], drawings: Sequence[Drawing]) -> str:
    """Returns a legend with a button for each row that hides it; the entry of the histories is not a button."""
    marked = {mark.row for drawing in drawings for mark in drawing.marks}
    styles = row_styles(table)
    entries = [
        f'<button class="key" aria-pressed="true" data-row="{index}">{_swatch(styles[name])}{escape(name)}</button>'
        for name, index in rows.items()
        if name in marked
    ]
    if None in marked:
        entries.append('<span class="key"><i class="histories"></i>histories</span>')
    return f'<div class="keys">{"".join(entries)}</div>'


def _swatch(style: RowStyle) -> str:
    return f'<i class="swatch" style="border-top: 3px {style.dash} {with_variables(style.color)}"></i>'


def _figure(drawing: Drawing, topics: Sequence[str], rows: dict[str, int], has_list: bool) -> str:
    topic = topics.index(drawing.panel.topic)
    texts = [f'<li data-row="{rows[mark.row]}">{escape(mark.text)}</li>' for mark in drawing.marks if mark.row]
    text_list = f"<ul>{''.join(texts)}</ul>" if has_list else ""
    caption = f"<figcaption>{escape(drawing.panel.dataset)}</figcaption>"
    return f'<figure data-topic="{topic}"{" hidden" if topic else ""}>{caption}{drawing.svg}{text_list}</figure>'
