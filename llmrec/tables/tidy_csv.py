"""Formats a table as CSV with one value per line: measured, missing (with the reason) and published ones."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from llmrec.tables.texts import published_columns

MEASURED = "measured"
LEFT_OUT = "left out: runs have different reference models"
COLUMNS = (
    "table", "source", "row", "dataset", "metric", "unit", "direction", "mean", "std", "seeds", "low", "high",
    "reference", "gain_percent", "difference_low", "difference_high", "p_holm", "significant", "reason", "task",
    "scores", "simulated", "backbone", "selection",
)  # fmt: skip


def tidy_csv(table: dict[str, Any]) -> str:
    """Returns the content of <table>.csv; a missing value has an empty `mean`, and its reason in `reason`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({"table": table["name"], "task": table["task"]} | line for line in _lines(table))
    return text.getvalue()


def _lines(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in table["rows"]:
        for dataset, cells in row["cells"].items():
            for metric in table["metrics"]:
                yield _measured(table, row, dataset, metric, cells[metric["name"]] or {})
    for block in table["published"]:
        for name, row in block["rows"].items():
            for dataset, metric in published_columns(block):
                yield _published(block, name, dataset, metric, row[dataset][metric])


def _measured(
    table: dict[str, Any], row: dict[str, Any], dataset: str, metric: dict[str, Any], cell: dict[str, Any]
) -> dict[str, Any]:
    return {
        "source": MEASURED,
        "row": row["name"],
        "dataset": dataset,
        "metric": metric["name"],
        "unit": metric["unit"],
        "direction": metric["direction"],
        "low": (cell.get("interval") or (None, None))[0],
        "high": (cell.get("interval") or (None, None))[1],
        "reference": table["reference"],
        "gain_percent": cell.get("gain"),
        "difference_low": cell.get("low"),
        "difference_high": cell.get("high"),
        "p_holm": cell.get("p"),
        "reason": LEFT_OUT if metric["name"] in row["left_out"][dataset] else row["missing"].get(dataset),
        "scores": table["scores"],
        "simulated": table["simulated"],
    } | {name: cell.get(name) for name in ("mean", "std", "seeds", "significant")}


def _published(block: dict[str, Any], row: str, dataset: str, metric: str, value: float) -> dict[str, Any]:
    return {
        "source": block["source"],
        "row": row,
        "dataset": dataset,
        "metric": metric,
        "mean": value,
        "scores": block["scores"],
        "simulated": False,
        "backbone": block["backbone"],
        "selection": block["selection"],
    }
