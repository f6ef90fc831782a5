"""The console tables at the end of a run."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmrec.evaluation.list_table import lists_table
from llmrec.evaluation.record import SPLIT_NAMES

COLUMNS = ("ndcg@5", "ndcg@10", "hr@1", "hr@5", "hr@10", "mrr@10")
HARM_COLUMNS = (
    ("MGU@5\npop.", ("fairness", "popularity", "mgu@5")),
    ("MGU@5\nrel.", ("fairness", "relevance", "mgu@5")),
    ("DGU@5\npop.", ("fairness", "popularity", "dgu@5")),
    ("head\n20 %", ("fairness", "head20_share")),
    ("cover-\nage", ("fairness", "coverage")),
    ("Gini", ("fairness", "gini")),
    ("rel.\n20 %", ("fairness", "top20_relevance_share")),
    ("sem.\nhall.", ("hallucination", "semantic_share")),
    ("invalid\ntitles", ("unconstrained", "invalid_title_rate")),
)
"""Heading of each column of the fairness and harm table, and the path of its metric in the record."""
HARM_CAPTION = (
    "MGU, DGU: mean |GU| and range of GU over groups by popularity (pop.) or relevance (rel.), GU = share of "
    "recommendations - share of histories; 20 %: share of the 20 % most popular (head) or most relevant (rel.) titles; "
    "sem. hall.: semantic hallucinations among wrong top-1 titles"
)


def print_final_table(metrics: dict[str, dict[str, Any]], seconds: dict[str, float], folder: Path) -> None:
    """Prints the final tables; as plain text, 100 columns wide, if the output is not a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    console.print(final_table(metrics, seconds, folder), crop=False)


def final_table(metrics: dict[str, dict[str, Any]], seconds: dict[str, float], folder: Path) -> RenderableType:
    """Builds the tables of accuracy by title and of fairness and harm, for recommender and popularity baseline.

    Args:
        metrics: The result of `split_record` for each split, with "recommender" if the recommender is not a language
            model, and "unconstrained" if it was measured. Records without fairness have no second table.
        seconds: Wall time by stage.
        folder: The folder of the record.
    """
    any_split = next(iter(metrics.values()))
    ranked = lists_table if "by_list" in any_split else _accuracy_table
    lines: list[RenderableType] = [ranked(any_split["dataset"], metrics)]
    if any(measured.get("fairness") for measured in metrics.values()):
        lines.append(_harm_table(metrics))
    lines.append(Text("seconds: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())))
    # The path is kept on one line, so that it can be copied.
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
        table.add_row(name, _recommender(measured), *_figures(measured["by_title"]), style="bold")
        table.add_row(name, "popularity", *_figures(measured["popularity_baseline"]["by_title"]))
        if "best_ndcg10" in measured:
            table.add_row(name, "best possible", *_figures({"ndcg@10": measured["best_ndcg10"]}))
    return table


def _harm_table(metrics: dict[str, dict[str, Any]]) -> Table:
    rows = []
    for split, measured in metrics.items():
        rows.append((_label(SPLIT_NAMES[split], _recommender(measured)), _harm_figures(measured), "bold"))
        rows.append((_label(SPLIT_NAMES[split], "popularity"), _harm_figures(measured["popularity_baseline"]), ""))
    headings = [heading for heading, _ in HARM_COLUMNS if any(heading in figures for _, figures, _ in rows)]
    # Without padding, eight metrics fit into 80 characters, and nine if the labels wrap.
    title = "fairness and harm"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0)
    table.caption, table.caption_justify = HARM_CAPTION, "left"
    table.add_column(_label("split", "recommender"))
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="right")
    for label, figures, style in rows:
        table.add_row(label, *(figures.get(heading, "-") for heading in headings), style=style)
    return table


def _label(split_name: str, recommender: str) -> str:
    return f"{split_name:<{max(map(len, SPLIT_NAMES.values()))}} {recommender}"


def _recommender(measured: dict[str, Any]) -> str:
    return measured.get("recommender", "model")


def _harm_figures(record: dict[str, Any]) -> dict[str, str]:
    """Returns the metrics that were measured, by heading."""
    figures = {}
    for heading, metric_path in HARM_COLUMNS:
        value: Any = record
        for key in metric_path:
            value = value.get(key, {})
        if value != {}:
            figures[heading] = f"{value:.4f}"
    return figures


def _figures(measured: dict[str, float]) -> list[str]:
    return [f"{measured[name]:.4f}" if name in measured else "-" for name in COLUMNS]
