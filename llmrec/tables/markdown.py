"""Formats a report in Markdown that is readable as plain text, too."""

from collections.abc import Iterator, Sequence
from typing import Any

from llmrec.markdown_grid import escaped, grid
from llmrec.tables.texts import cell_texts, heading, published_columns, published_text


def markdown(report: dict[str, Any]) -> str:
    """Formats a report; measured and published values are in separate grids."""
    facts = [f"made {report['made']}"]
    facts += [f"code {report['revision']}"] if report["revision"] else []
    facts += [f"{name} {value}" for name, value in report["hardware"].items()]
    parts = [f"# {escaped(report['title'])}", escaped(", ".join(facts)), *_list(report.get("lines", []))]
    parts += [run_summary(report)] if any(_is_unfinished(table) for table in report["tables"]) else []
    parts += [measured(table) for table in report["tables"]]
    published = [(table, block) for table in report["tables"] for block in table["published"]]
    parts += ["## Published figures"] if published else []
    parts += [_published(table, block) for table, block in published]
    return "\n\n".join(parts) + "\n"


def run_summary(report: dict[str, Any]) -> str:
    """Formats how many runs of each table are done, running and left, and why."""
    rows = [
        [table["name"], *(str(table["summary"][state]) for state in ("done", "running", "left"))]
        for table in report["tables"]
    ]
    reasons = [
        f"{table['name']}: {'; '.join(table['summary']['reasons'])}"
        for table in report["tables"]
        if table["summary"]["reasons"]
    ]
    return "\n\n".join([grid(["table", "done", "running", "left"], rows), *_list(reasons)])


def _is_unfinished(table: dict[str, Any]) -> bool:
    return bool(table["summary"]["left"] or table["summary"]["running"])


def measured(table: dict[str, Any]) -> str:
    """Formats the measured part of a table: a grid for each dataset, the missing values, and the notes."""
    scores = f", scores {table['scores']}" if table["scores"] else ""
    setup = f"Task {table['task']}{scores}; reference {table['reference']}."
    parts = [f"## {escaped(table['title'])}", escaped(table["about"]), escaped(setup)]
    if not any(cell for row in table["rows"] for cells in row["cells"].values() for cell in cells.values()):
        return "\n\n".join([*parts, "Nothing is measured yet.", *_list(list(_missing(table)))])
    for dataset in table["datasets"]:
        rows = [[row["name"], *cell_texts(table, row, dataset)] for row in table["rows"]]
        parts += [f"### {escaped(dataset)}", grid(["", *map(heading, table["metrics"])], rows)]
    return "\n\n".join([*parts, *_list(list(_missing(table))), *_list(table["notes"])])


def _missing(table: dict[str, Any]) -> Iterator[str]:
    """Yields the reasons for missing values; rows and datasets with the same reason share a line."""
    rows: dict[tuple[str, str], list[str]] = {}
    for row in table["rows"]:
        for dataset, reason in row["missing"].items():
            rows.setdefault((dataset, reason), []).append(row["name"])
    datasets: dict[tuple[str, str], list[str]] = {}
    for (dataset, reason), names in rows.items():
        datasets.setdefault(("; ".join(names), reason), []).append(dataset)
    for (names_text, reason), found in datasets.items():
        yield f"{', '.join(found)}: {names_text}: {reason}"


def _published(table: dict[str, Any], block: dict[str, Any]) -> str:
    facts = [f"Backbone: {block['backbone']}", f"Selection: {block['selection']}"]
    facts += [f"Scores: {block['scores']}"] if block["scores"] else []
    facts += [block["note"]] if block["note"] else []
    columns = published_columns(block)
    rows = [[name, *(published_text(block, name, column) for column in columns)] for name in block["rows"]]
    head = ["", *(f"{dataset} {metric}" for dataset, metric in columns)]
    return "\n\n".join(
        [
            f"### Published, not measured here: {escaped(block['source'])} (table {escaped(table['name'])})",
            *_list(facts),
            grid(head, rows),
        ]
    )


def _list(texts: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {escaped(text)}" for text in texts)] if texts else []
