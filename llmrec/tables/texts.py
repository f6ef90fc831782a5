"""Formats the values of a table as text, for all file formats."""

from typing import Any

BETTER = {"higher": " ↑", "lower": " ↓", None: ""}
"""Suffix of a metric's name that shows its direction."""


def heading(metric: dict[str, Any]) -> str:
    """Returns the heading of a metric: name, unit and direction."""
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    return f"{metric['name']}{unit}{BETTER[metric['direction']]}"


def cell_texts(table: dict[str, Any], row: dict[str, Any], dataset: str) -> list[str]:
    """Formats the values of a row on a dataset, one for each metric; "not run" or "left out" if there are none."""
    found = row["cells"][dataset]
    if not any(found.values()):
        return ["left out" if row["left_out"][dataset] else "not run", *["-"] * (len(table["metrics"]) - 1)]
    return [_cell_text(found[metric["name"]], metric) for metric in table["metrics"]]


def published_columns(block: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns dataset and metric of each column of a published block."""
    return [(dataset, metric) for dataset in block["datasets"] for metric in block["metrics"]]


def published_text(block: dict[str, Any], row: str, column: tuple[str, str]) -> str:
    """Formats a published value with as many digits as the longest value of the block."""
    digits = max(len(str(block["rows"][name][d][m]).partition(".")[2]) for name in block["rows"] for d, m in
                 published_columns(block))  # fmt: skip
    dataset, metric = column
    return f"{block['rows'][row][dataset][metric]:.{digits}f}"


def _cell_text(cell: dict[str, Any] | None, metric: dict[str, Any]) -> str:
    """Formats mean, standard deviation, gain and mark of significance as "0.0123 ± 0.0004 (+12.3 %)*"."""
    if cell is None:
        return "-"
    # Adding 0 turns -0.0 into 0.0.
    text = f"{round(cell['mean'], metric['digits']) + 0:.{metric['digits']}f}"
    if cell["std"] is not None:
        text += f" ± {cell['std']:.{metric['digits']}f}"
    if cell["interval"] is not None:
        low, high = cell["interval"]
        text += f" [{low:.{metric['digits']}f}, {high:.{metric['digits']}f}]"
    if cell["gain"] is not None:
        text += f" ({cell['gain']:+.1f} %)"
    return text + ("*" if cell["significant"] else "")
