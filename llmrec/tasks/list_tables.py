"""The console table of task rerank."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from llmrec.evaluation.list_accuracy import CUTOFFS
from llmrec.metrics.base import Metric
from llmrec.tasks.console import console_headings, figures_table, recommender, row_counts

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
    accuracy = {f"by_list.ndcg@{k}": f"NDCG\n@{k}" for k in CUTOFFS} | {"by_list.ndcg@10_se": "@10\nSE"}
    others = {path: heading for path, heading in console_headings(metrics).items() if path not in accuracy}
    # Without padding, all columns fit into 80 characters.
    table = figures_table(title, splits, accuracy | others, with_random_order("by_list"), ranks="re-ranker")
    table.caption, table.caption_justify = CAPTION, "left"
    return table


def with_random_order(accuracy: str) -> Callable[[dict[str, Any]], Mapping[str, Mapping[str, Any]]]:
    """Returns the rows of a record's table: the recommender, the popularity baseline, and chance, a random order.

    Args:
        accuracy: Name of the metric that a record has for a random order too.
    """
    return lambda record: {
        recommender(record): record,
        "popularity": record["popularity_baseline"],
        "chance": {accuracy: record["random_order"]},
    }
