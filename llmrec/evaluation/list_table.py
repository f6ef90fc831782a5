"""The table at the end of a run of task rerank."""

from typing import Any

from rich import box
from rich.table import Table

from llmrec.evaluation.list_record import CUTOFFS
from llmrec.evaluation.record import SPLIT_NAMES


def lists_table(dataset: str, metrics: dict[str, dict[str, Any]]) -> Table:
    """Graded NDCG of re-ranker, popularity and chance on each split, and how far the order shown changes a ranking.

    metrics: what `list_record` gave, by split, with "recommender" and, where it was measured, "unconstrained".
    """
    any_split = next(iter(metrics.values()))
    counts = ", ".join(f"{SPLIT_NAMES[s]} {m['lists']:,} ({m['users']:,} users)" for s, m in metrics.items())
    title = f"{dataset}, lists of {any_split['candidates']}: {counts}"
    # Without padding all columns fit into a terminal of 80.
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=0)
    table.add_column("split", no_wrap=True)
    table.add_column("re-ranker", no_wrap=True)
    for heading in (*(f"NDCG\n@{k}" for k in CUTOFFS), "@10\n± user", "order\nstd", "Kend.\ntau", "parse\nfails"):
        table.add_column(heading, no_wrap=True, justify="right")
    for split, measured in metrics.items():
        name = SPLIT_NAMES[split]
        table.add_row(name, measured["recommender"], *_figures(measured["by_list"]), *_position(measured), style="bold")
        table.add_row(name, "pop. floor", *_figures(measured["popularity_floor"]), *["-"] * 3)
        table.add_row(name, "random", *_figures(measured["random_order"]), *["-"] * 3)
    return table


def _figures(measured: dict[str, float]) -> list[str]:
    return [_figure(measured, name) for name in (*(f"ndcg@{k}" for k in CUTOFFS), "ndcg@10_se")]


def _position(measured: dict[str, Any]) -> list[str]:
    position, free = measured.get("position", {}), measured.get("unconstrained", {})
    return [_figure(position, "ndcg_std"), _figure(position, "kendall_tau"), _figure(free, "parse_failure_rate")]


def _figure(measured: dict[str, float], name: str) -> str:
    return f"{measured[name]:.4f}" if name in measured else "-"
