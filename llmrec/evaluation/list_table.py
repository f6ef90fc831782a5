"""The console table at the end of a run of task rerank."""

from typing import Any

from rich import box
from rich.table import Table

from llmrec.evaluation.list_record import CUTOFFS
from llmrec.evaluation.record import SPLIT_NAMES

CAPTION = (
    "SE: standard error of NDCG@10, clustered by user; order std, Kend. tau: standard deviation of NDCG@10 and "
    "Kendall's tau over presentation orders; parse fails: share of unconstrained generations that are no valid ranking"
)


def lists_table(dataset: str, metrics: dict[str, dict[str, Any]]) -> Table:
    """Builds the table of graded NDCG of re-ranker, popularity baseline and random order, and of position sensitivity.

    Args:
        dataset: The name of the dataset.
        metrics: The result of `list_record` for each split, with "recommender" and, if measured, "unconstrained".
    """
    any_split = next(iter(metrics.values()))
    counts = ", ".join(f"{SPLIT_NAMES[s]} {m['lists']:,} ({m['users']:,} users)" for s, m in metrics.items())
    title = f"{dataset}, lists of {any_split['candidates']}: {counts}"
    # Without padding, all columns fit into 80 characters.
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0)
    table.caption, table.caption_justify = CAPTION, "left"
    table.add_column("split", no_wrap=True)
    table.add_column("re-ranker", no_wrap=True)
    for heading in (*(f"NDCG\n@{k}" for k in CUTOFFS), "@10\nSE", "order\nstd", "Kend.\ntau", "parse\nfails"):
        table.add_column(heading, no_wrap=True, justify="right")
    for split, measured in metrics.items():
        name = SPLIT_NAMES[split]
        table.add_row(name, measured["recommender"], *_figures(measured["by_list"]), *_position(measured), style="bold")
        table.add_row(name, "popularity", *_figures(measured["popularity_baseline"]), *["-"] * 3)
        table.add_row(name, "random", *_figures(measured["random_order"]), *["-"] * 3)
    return table


def _figures(measured: dict[str, float]) -> list[str]:
    return [_figure(measured, name) for name in (*(f"ndcg@{k}" for k in CUTOFFS), "ndcg@10_se")]


def _position(measured: dict[str, Any]) -> list[str]:
    position, unconstrained = measured.get("position", {}), measured.get("unconstrained", {})
    return [
        _figure(position, "ndcg_std"),
        _figure(position, "kendall_tau"),
        _figure(unconstrained, "parse_failure_rate"),
    ]


def _figure(measured: dict[str, float], name: str) -> str:
    return f"{measured[name]:.4f}" if name in measured else "-"
