"""The console table of task candidates."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from llmrec.metrics.base import Metric
from llmrec.tasks.console import console_headings, figure_text, figures_table, row_counts
from llmrec.tasks.list_tables import with_random_order

CAPTION = "Sampled candidates: not comparable with figures of the full catalogue or of another number of candidates."
GENERATED = " gen.: text generated without constraints; valid ratio: share of texts that are a candidate's title."


def candidates_table(splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Table:
    """Builds the table of accuracy among the candidates of recommender, popularity baseline and random order.

    Args:
        splits: The records by split.
        metrics: The metrics of the records. Figures that were not measured are left out.
    """
    any_split = next(iter(splits.values()))
    title = (
        f"{any_split['dataset']}, {any_split['candidates']} candidates a row, by title\n{row_counts(splits, 'rows')}"
    )
    columns = {
        path: heading
        for path, heading in console_headings(metrics).items()
        if any(figure_text(record, path) for record in splits.values())
    }
    table = figures_table(title, splits, columns, with_random_order("by_title"))
    has_answers = any("unconstrained" in record for record in splits.values())
    table.caption, table.caption_justify = CAPTION + (GENERATED if has_answers else ""), "left"
    return table
