"""The plots of a report as HTML, with a choice of the metric, curve or grouping and buttons that hide rows."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from html import escape
from itertools import product
from typing import NamedTuple

from llmrec.tables.page.svg import Drawing, draw_panel, with_variables
from llmrec.tables.plot_style import RowStyle, row_styles
from llmrec.tables.plots import PLOTS, Data


class Words(NamedTuple):
    """A plot's title, how to read it, the text where it has no data, and the label of the choice of topics."""

    title: str
    about: str
    nothing: str
    choice: str


WORDS = {
    "gain": Words(
        "Gain over {reference}",
        "In percent of the reference's mean, with the 95 % interval of the difference, not corrected; "
        "filled: significant, corrected.",
        "No gains: nothing is compared with {reference} yet.",
        "metric",
    ),
    "users": Words(
        "Gain by user",
        "Each user's difference to {reference}, mean over seeds; users without a difference are not drawn.",
        "No gains by user: none are compared with {reference} yet.",
        "metric",
    ),
    "curves": Words(
        "Training curves",
        "A line a seed. Losses of different objectives are no common measure.",
        "No training curves: none of the compared runs has any.",
        "curve",
    ),
    "bias": Words(
        "Popularity and relevance bias",
        "Share of the lists (dots, mean over seeds) against share of the histories (bars), by fifths of the titles.",
        "No popularity and relevance bias: none of the runs was measured for it.",
        "fifths by",
    ),
}


def page_plots(report: Data) -> dict[str, str]:
    """Draws all plots of a report; returns the HTML of each table's plots by table name."""
    tables = range(len(report["tables"]))
    # A panel takes a tenth of a second and more, and there may be a hundred.
    with ProcessPoolExecutor() as pool:
        parts = pool.map(partial(_plot, report), *zip(*product(tables, PLOTS), strict=True))
        return {table["name"]: "".join(next(parts) for _ in PLOTS) for table in report["tables"]}


def _plot(report: Data, number: int, plot: str) -> str:
    table = report["tables"][number]
    words = Words(*(escape(text.format(reference=table["reference"])) for text in WORDS[plot]))
    rows = {row["name"]: place for place, row in enumerate(table["rows"])}
    drawn = [
        draw_panel(panel, f"{plot}{number}-{place}-", rows) for place, panel in enumerate(PLOTS[plot](report, table))
    ]
    found = [drawing for drawing in drawn if drawing]
    if not found:
        return f'<p class="nothing muted">{words.nothing}</p>'
    topics = list(dict.fromkeys(drawing.panel.topic for drawing in found))
    # A plot of gains names its rows itself.
    keys = "" if plot == "gain" else _keys(table, rows, found)
    figures = "".join(_figure(drawing, topics, rows, plot == "users") for drawing in found)
    return (
        f'<details class="plots" open><summary><h3>{words.title}</h3></summary><p class="muted">{words.about}</p>'
        f'<div class="controls">{_choice(words.choice, topics)}{keys}</div><div class="board">{figures}</div></details>'
    )


def _choice(label: str, topics: Sequence[str]) -> str:
    options = "".join(f'<option value="{place}">{escape(topic)}</option>' for place, topic in enumerate(topics))
    return f'<label class="choice">{label} <select>{options}</select></label>'


def _keys(table: Data, rows: dict[str, int], drawings: Sequence[Drawing]) -> str:
    """A button for each row, which hides what is drawn of it; the histories have a key that is no button."""
    marked = {mark.row for drawing in drawings for mark in drawing.marks}
    styles = row_styles(table)
    keys = [
        f'<button class="key" aria-pressed="true" data-row="{place}">{_swatch(styles[name])}{escape(name)}</button>'
        for name, place in rows.items()
        if name in marked
    ]
    if None in marked:
        keys.append('<span class="key"><i class="histories"></i>histories</span>')
    return f'<div class="keys">{"".join(keys)}</div>'


def _swatch(style: RowStyle) -> str:
    return f'<i class="swatch" style="border-top: 3px {style.dash} {with_variables(style.color)}"></i>'


def _figure(drawing: Drawing, topics: Sequence[str], rows: dict[str, int], has_list: bool) -> str:
    place = topics.index(drawing.panel.topic)
    texts = [f'<li data-row="{rows[mark.row]}">{escape(mark.text)}</li>' for mark in drawing.marks if mark.row]
    listed = f"<ul>{''.join(texts)}</ul>" if has_list else ""
    caption = f"<figcaption>{escape(drawing.panel.dataset)}</figcaption>"
    return f'<figure data-topic="{place}"{" hidden" if place else ""}>{caption}{drawing.svg}{listed}</figure>'
