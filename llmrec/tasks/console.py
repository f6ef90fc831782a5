"""What the console tables of all tasks share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmrec.datasets.leakage_summary import LEAVE_ONE_OUT_NOTE
from llmrec.datasets.settings import LEAVE_ONE_OUT
from llmrec.evaluation.few_users import few_users_warning
from llmrec.metrics.base import Metric

SPLIT_NAMES = {"valid": "validation", "test": "test"}


def print_record(
    tables: Sequence[RenderableType],
    splits: Mapping[str, dict[str, Any]],
    seconds: Mapping[str, float],
    folder: Path,
    protocol: str,
) -> None:
    """Prints the final tables; as plain text, 100 columns wide, if the output is not a terminal.

    Args:
        tables: The tables of the task.
        splits: The records by split.
        seconds: Wall time by stage.
        folder: The folder of the record.
        protocol: The line that names the protocol; see `protocol_line`.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    console.print(final_table(tables, splits, seconds, folder, protocol), crop=False)


def final_table(
    tables: Sequence[RenderableType],
    splits: Mapping[str, dict[str, Any]],
    seconds: Mapping[str, float],
    folder: Path,
    protocol: str,
) -> RenderableType:
    """Returns the tables with the seconds, the folder and a warning for simulated data below; see `print_record`."""
    lines = [*tables, Text("seconds: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items()))]
    lines.append(Text(protocol))
    # The path is kept on one line, so that it can be copied.
    lines.append(Text(f"record: {folder}", no_wrap=True, overflow="ignore"))
    for split, record in splits.items():
        warning = few_users_warning(record["users"])
        if warning is not None:
            lines.append(Text(f"warning: {SPLIT_NAMES[split]} has {warning}"))
    any_split = next(iter(splits.values()))
    if any_split.get("split_by") == LEAVE_ONE_OUT:
        lines.append(Text(f"{any_split['dataset']}: {LEAVE_ONE_OUT_NOTE}."))
    if any_split["simulated"]:
        lines.append(Text(f"SIMULATED data ({any_split['dataset']}): these figures say nothing about real users."))
    return Group(*lines)


def row_counts(splits: Mapping[str, dict[str, Any]], rows: str) -> str:
    """Returns the numbers of rows and users, a line for each split, as in "test: 538 rows of 125 users".

    Args:
        splits: The records by split.
        rows: What a row is called, and its number in a record: "rows" or "lists".
    """
    return "\n".join(
        f"{SPLIT_NAMES[split]}: {record[rows]:,} {rows} of {record['users']:,} users"
        for split, record in splits.items()
    )


def console_headings(metrics: Sequence[Metric]) -> dict[str, str]:
    """Returns the heading of each figure that has one, by its path in a record."""
    return {
        f"{metric.name}.{path}": figure.heading
        for metric in metrics
        for path, figure in metric.figures.items()
        if figure.heading
    }


def recommender(record: Mapping[str, Any]) -> str:
    """Returns the name of a record's recommender."""
    return str(record.get("recommender", "model"))


def figures_table(
    title: str,
    splits: Mapping[str, dict[str, Any]],
    columns: Mapping[str, str],
    rows_of: Callable[[dict[str, Any]], Mapping[str, Mapping[str, Any]]],
    ranks: str = "recommender",
    padding: int = 0,
) -> Table:
    """Builds a table with rows for each split, the first of them in bold.

    Args:
        title: The title.
        splits: The records by split.
        columns: Headings by the path of a figure in a record.
        rows_of: Returns what has the figures, by the name of the row, of the record of a split.
        ranks: Heading of the names.
        padding: Number of blanks after each cell.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, padding, 0, 0))
    table.add_column("split", no_wrap=True)
    table.add_column(ranks, no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, no_wrap=True, justify="right")
    for split, record in splits.items():
        for number, (label, figures) in enumerate(rows_of(record).items()):
            texts = (figure_text(figures, path) or "-" for path in columns)
            table.add_row(SPLIT_NAMES[split], label, *texts, style=None if number else "bold")
    return table


def figure_text(record: Mapping[str, Any], path: str) -> str | None:
    """Returns a figure of a record with four digits; None if it was not measured."""
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else f"{value:.4f}"
