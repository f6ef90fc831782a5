"""A report in Markdown, to be read as it is or rendered."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from llmrec.tables.texts import cell_texts, heading, published_columns, published_text

HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SPECIAL = re.compile(r"[\\`\[\]|~#&<>]|\*(?=\S)|(?<!\w)_(?=\S)")
"""What Markdown or HTML reads as markup; of asterisks and underscores only those that can begin an emphasis."""


def markdown(report: dict[str, Any]) -> str:
    """The whole report; what is measured and what others published stand apart."""
    facts = [f"made {report['made']}"]
    facts += [f"code {report['revision']}"] if report["revision"] else []
    facts += [f"{name} {value}" for name, value in report["hardware"].items()]
    parts = [f"# Tables, scale {escaped(report['scale'])}", escaped(", ".join(facts))]
    for table in report["tables"]:
        parts += [measured(table), *(_published(block) for block in table["published"])]
    return "\n\n".join(parts) + "\n"


def measured(table: dict[str, Any]) -> str:
    """A table's own figures: a grid for each set, what is missing, and the notes."""
    scores = f", scores {table['scores']}" if table["scores"] else ""
    made = f"Task {table['task']}{scores}; reference {table['reference']}."
    parts = [f"## {escaped(table['title'])}", escaped(table["about"]), escaped(made)]
    for dataset in table["datasets"]:
        rows = [[row["name"], *cell_texts(table, row, dataset)] for row in table["rows"]]
        parts += [f"### {escaped(dataset)}", grid(["", *map(heading, table["metrics"])], rows)]
    return "\n\n".join([*parts, *_list(list(_missing(table))), *_list(table["notes"])])


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns padded to equal width, all but the first flush right."""
    lines = [[escaped(text) for text in line] for line in (head, *rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(texts, widths) for texts in (lines[0], rule, *lines[1:]))


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    figures = [text.rjust(width) for text, width in zip(texts[1:], widths[1:], strict=True)]
    return f"| {' | '.join([texts[0].ljust(widths[0]), *figures])} |"


def _missing(table: dict[str, Any]) -> Iterator[str]:
    """The same words about several rows are said once."""
    rows: dict[tuple[str, str], list[str]] = {}
    for row in table["rows"]:
        for dataset, why in row["why"].items():
            rows.setdefault((dataset, why), []).append(row["name"])
    for (dataset, why), names in rows.items():
        yield f"{dataset}: {'; '.join(names)}: {why}"


def _published(block: dict[str, Any]) -> str:
    facts = [f"Backbone: {block['backbone']}", f"Selection: {block['selection']}"]
    facts += [f"Scores: {block['scores']}"] if block["scores"] else []
    facts += [block["note"]] if block["note"] else []
    columns = published_columns(block)
    rows = [[name, *(published_text(block, name, place) for place in columns)] for name in block["rows"]]
    head = ["", *(f"{dataset} {metric}" for dataset, metric in columns)]
    return "\n\n".join(
        [f"### Published, not measured here: {escaped(block['source'])}", *_list(facts), grid(head, rows)]
    )


def _list(texts: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {escaped(text)}" for text in texts)] if texts else []


def escaped(text: str) -> str:
    """Returns text as one line that Markdown shows as it is: records may hold markup of somebody else's."""
    line = " ".join(text.split())
    return SPECIAL.sub(lambda match: HTML.get(match[0], f"\\{match[0]}"), line)
