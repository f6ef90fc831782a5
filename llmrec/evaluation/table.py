"""The table at the end of a run."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

COLUMNS = ("ndcg@5", "ndcg@10", "hr@1", "hr@5", "hr@10", "mrr@10")
FAIRNESS_COLUMNS = (
    ("MGU@5\npop.", "popularity", "mgu@5"),
    ("MGU@5\nrel.", "relevance", "mgu@5"),
    ("DGU@5\npop.", "popularity", "dgu@5"),
    ("head\n20 %", None, "head20_share"),
    ("coverage", None, "coverage"),
    ("Gini", None, "gini"),
    ("rel.\n20 %", None, "top20_relevance_share"),
)
"""Heading, grouping (None for what is no group's) and name in the record, of each column of the table of fairness."""
SPLIT_NAMES = {"valid": "validation", "test": "test"}


def print_final_table(metrics: dict[str, dict[str, Any]], seconds: dict[str, float], folder: Path) -> None:
    """Prints the final table; plain text, 100 columns wide, when the output is not a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    console.print(final_table(metrics, seconds, folder), crop=False)


def final_table(metrics: dict[str, dict[str, Any]], seconds: dict[str, float], folder: Path) -> RenderableType:
    """Accuracy by title and fairness of the model and the popularity floor on each split, and what the run cost.

    metrics: what `split_record` gave, by split; seconds: wall time by stage; folder: where the record lies. Records
    without fairness have no second table.
    """
    any_split = next(iter(metrics.values()))
    lines: list[RenderableType] = [_accuracy_table(any_split["dataset"], metrics)]
    if any(measured.get("fairness") for measured in metrics.values()):
        lines.append(_fairness_table(metrics))
    lines.append(Text("seconds: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())))
    # One line however long it is, so that it can be copied whole.
    lines.append(Text(f"record: {folder}", no_wrap=True, overflow="ignore"))
    if any_split["simulated"]:
        lines.append(Text(f"SIMULATED data ({any_split['dataset']}): these figures say nothing about real users."))
    return Group(*lines)


def _accuracy_table(dataset: str, metrics: dict[str, dict[str, Any]]) -> Table:
    users = ", ".join(f"{SPLIT_NAMES[split]} {measured['users']:,}" for split, measured in metrics.items())
    title = f"{dataset}, full catalogue, by title; users: {users}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("split", no_wrap=True)
    table.add_column("recommender", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name.upper(), no_wrap=True, justify="right")
    for split, measured in metrics.items():
        name = SPLIT_NAMES[split]
        table.add_row(name, "model", *_figures(measured["by_title"]), style="bold")
        table.add_row(name, "popularity floor", *_figures(measured["popularity_floor"]["by_title"]))
        if "best_ndcg10" in measured:
            table.add_row(name, "best possible", *_figures({"ndcg@10": measured["best_ndcg10"]}))
    return table


def _fairness_table(metrics: dict[str, dict[str, Any]]) -> Table:
    rows = []
    for split, measured in metrics.items():
        for recommender, record in (("model", measured), ("popularity floor", measured["popularity_floor"])):
            rows.append((SPLIT_NAMES[split], recommender, _fairness_figures(record["fairness"])))
    headings = [heading for heading, _, _ in FAIRNESS_COLUMNS if any(heading in figures for _, _, figures in rows)]
    # Without padding the seven figures fit into a terminal of 80 columns.
    title = "fairness; parity by popularity (pop.) and by relevance (rel.)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0)
    for name in ("split", "recommender"):
        table.add_column(name, no_wrap=True)
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="right")
    for split_name, recommender, figures in rows:
        cells = [figures.get(heading, "-") for heading in headings]
        table.add_row(split_name, recommender, *cells, style="bold" if recommender == "model" else None)
    return table


def _fairness_figures(fairness: dict[str, Any]) -> dict[str, str]:
    """The figures that were measured, by heading."""
    figures = {}
    for heading, grouping, name in FAIRNESS_COLUMNS:
        measured = fairness if grouping is None else fairness.get(grouping, {})
        if name in measured:
            figures[heading] = f"{measured[name]:.4f}"
    return figures


def _figures(measured: dict[str, float]) -> list[str]:
    return [f"{measured[name]:.4f}" if name in measured else "-" for name in COLUMNS]
