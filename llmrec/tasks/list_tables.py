"""The console table of task rerank."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from llmrec.evaluation.list_accuracy import CUTOFFS
from llmrec.metrics.base import Metric
from llmrec.tasks.console import SPLIT_NAMES, console_headings, figure_text, recommender, row_counts

CAPTION = (
    "SE: standard error of NDCG@10, clustered by user; order std, Kend. tau: standard deviation of NDCG@10 and "
    "Kendall's tau over presentation orders; parse fails: share of unconstrained generations that are no valid ranking"
)


def lists_table(splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Table:
    """Builds the table of graded NDCG of re-ranker, popularity baseline and random order, and of the other metrics.

    Args:
        splits: The records by split.
        metrics: The metrics of the records.
    """
    any_split = next(iter(splits.values()))
    title = f"{any_split['dataset']}, lists of {any_split['candidates']}\n{row_counts(splits, 'lists')}"
    # Without padding, all columns fit into 80 characters.
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0)
    table.caption, table.caption_justify = CAPTION, "left"
    table.add_column("split", no_wrap=True)
    table.add_column("re-ranker", no_wrap=True)
    accuracy = {f"by_list.ndcg@{k}": f"NDCG\n@{k}" for k in CUTOFFS} | {"by_list.ndcg@10_se": "@10\nSE"}
    others = {path: heading for path, heading in console_headings(metrics).items() if path not in accuracy}
    for heading in (accuracy | others).values():
        table.add_column(heading, no_wrap=True, justify="right")
    for split, record in splits.items():
        rows = {
            recommender(record): record,
            "popularity": record["popularity_baseline"],
            "random": {"by_list": record["random_order"]},
        }
        for number, (label, figures) in enumerate(rows.items()):
            texts = (figure_text(figures, path) or "-" for path in accuracy | others)
            table.add_row(SPLIT_NAMES[split], label, *texts, style=None if number else "bold")
    return table
