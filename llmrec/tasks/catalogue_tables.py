"""The console tables of task next_item: accuracy by title, then fairness, harm and a user's own metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from llmrec.metrics.accuracy import ByTitle
from llmrec.metrics.base import Metric
from llmrec.tasks.console import (
    SPLIT_NAMES,
    console_headings,
    figure_text,
    figures_table,
    recommender,
    row_counts,
)

CAPTION = (
    "MGU, DGU: mean |GU| and range of GU over groups by popularity (pop.) or relevance (rel.), GU = share of "
    "recommendations - share of histories; 20 %: share of the 20 % most popular (head) or most relevant (rel.) titles; "
    "sem. hall.: semantic hallucinations among wrong top-1 titles"
)


def catalogue_tables(splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Sequence[RenderableType]:
    """Builds the tables for recommender and popularity baseline.

    Args:
        splits: The records by split.
        metrics: The metrics of the records. A second table has those beside accuracy that have a heading and that were
            measured.
    """
    others = {path: heading for path, heading in console_headings(metrics).items() if not path.startswith("by_")}
    measured = {
        path: heading
        for path, heading in others.items()
        if any(figure_text(record, path) for split in splits.values() for record in (split, _baseline(split)))
    }
    lines = [search_line(split, record) for split, record in splits.items() if "search" in record]
    return [_accuracy(splits), *([_harm(splits, measured)] if measured else []), *map(Text, lines)]


def search_line(split: str, record: Mapping[str, Any]) -> str:
    """Returns the line on an exact search, as in "test: exact top 10 for 99.5% of rows; 41.2 prefixes, ...".

    Args:
        split: "valid" or "test".
        record: The record of the split.
    """
    figures = record["search"]
    return (
        f"{SPLIT_NAMES[split]}: exact top {record['list_length']} for {figures['certified']:.1%} of rows; "
        f"{figures['prefixes']:.1f} prefixes, {figures['model_calls']:.1f} model calls a row"
    )


def _accuracy(splits: Mapping[str, dict[str, Any]]) -> Table:
    title = f"{next(iter(splits.values()))['dataset']}, full catalogue, by title\n{row_counts(splits, 'rows')}"

    def rows_of(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
        rows = {recommender(record): record, "popularity": _baseline(record)}
        best = record.get("best_ndcg10")
        return rows if best is None else rows | {"best possible": {"by_title": {"ndcg@10": best}}}

    return figures_table(title, splits, console_headings([ByTitle()]), rows_of, padding=1)


def _harm(splits: Mapping[str, dict[str, Any]], columns: Mapping[str, str]) -> Table:
    # Without padding, eight metrics fit into 80 characters, and nine if the labels wrap.
    table = Table(title="fairness and harm", title_justify="left", box=box.SIMPLE, padding=0)
    table.caption, table.caption_justify = CAPTION, "left"
    table.add_column(_label("split", "recommender"))
    for heading in columns.values():
        table.add_column(heading, no_wrap=True, justify="right")
    for split, record in splits.items():
        rows = {recommender(record): record, "popularity": _baseline(record)}
        for number, (label, figures) in enumerate(rows.items()):
            texts = (figure_text(figures, path) or "-" for path in columns)
            table.add_row(_label(SPLIT_NAMES[split], label), *texts, style=None if number else "bold")
    return table


def _baseline(record: dict[str, Any]) -> dict[str, Any]:
    return dict(record["popularity_baseline"])


def _label(split_name: str, name: str) -> str:
    return f"{split_name:<{max(map(len, SPLIT_NAMES.values()))}} {name}"
