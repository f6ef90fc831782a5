"""Figures as text, the same in every kind of file."""

from typing import Any

BETTER = {"higher": " ↑", "lower": " ↓", None: ""}
"""Which way of a metric is better, as its name is followed by it."""


def heading(metric: dict[str, Any]) -> str:
    """A metric's name, its unit, and which way is better."""
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    return f"{metric['name']}{unit}{BETTER[metric['better']]}"


def cell_texts(table: dict[str, Any], row: dict[str, Any], dataset: str) -> list[str]:
    """A row's figures on a set, one a metric; "not run" or "left out" where there is none."""
    found = row["cells"][dataset]
    if not any(found.values()):
        return ["left out" if row["left_out"][dataset] else "not run", *["-"] * (len(table["metrics"]) - 1)]
    return [_cell_text(found[metric["name"]], metric) for metric in table["metrics"]]


def published_columns(block: dict[str, Any]) -> list[tuple[str, str]]:
    """Set and metric of each column of a published block."""
    return [(dataset, metric) for dataset in block["datasets"] for metric in block["metrics"]]


def published_text(block: dict[str, Any], row: str, place: tuple[str, str]) -> str:
    """A published figure, with as many digits as the block's longest."""
    digits = max(len(str(block["rows"][name][d][m]).partition(".")[2]) for name in block["rows"] for d, m in
                 published_columns(block))  # fmt: skip
    dataset, metric = place
    return f"{block['rows'][row][dataset][metric]:.{digits}f}"


def _cell_text(cell: dict[str, Any] | None, metric: dict[str, Any]) -> str:
    """Mean, spread, gain and the mark of significance: "0.0123 ± 0.0004 (+12.3 %)*"."""
    if cell is None:
        return "-"
    # Adding 0 takes the sign from what rounds to -0.
    text = f"{round(cell['mean'], metric['digits']) + 0:.{metric['digits']}f}"
    if cell["spread"] is not None:
        text += f" ± {cell['spread']:.{metric['digits']}f}"
    if cell["gain"] is not None:
        text += f" ({cell['gain']:+.1f} %)"
    return text + ("*" if cell["significant"] else "")
