"""Formats a table in LaTeX with booktabs: one tabular for the measured values and one for each published block."""

from collections.abc import Sequence
from typing import Any

from llmrec.tables.texts import cell_texts, heading, published_text

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "*": r"$^{*}$", "<": r"$<$", ">": r"$>$", "|": r"\textbar{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
HEAD = "% needs \\usepackage{booktabs}; made by python -m llmrec.report"


def latex(table: dict[str, Any]) -> str:
    """Returns the content of <table>.tex."""
    return "\n\n".join([HEAD, _measured(table), *(_published(table, block) for block in table["published"])]) + "\n"


def escaped(text: str) -> str:
    """Escapes text for LaTeX and joins it into one line."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _measured(table: dict[str, Any]) -> str:
    scores = f" Scores: {table['scores']}." if table["scores"] else ""
    panels = {
        dataset: [[row["name"], *cell_texts(table, row, dataset)] for row in table["rows"]]
        for dataset in table["datasets"]
    }
    below = [
        f"{dataset}, {row['name']}: {reason}" for row in table["rows"] for dataset, reason in row["missing"].items()
    ]
    caption = f"{table['title']}. {table['about']}{scores} In brackets: gain over {table['reference']}."
    head = [heading(metric) for metric in table["metrics"]]
    return _environment(caption, f"tab:{table['name']}", head, panels, [*below, *table["notes"]])


def _published(table: dict[str, Any], block: dict[str, Any]) -> str:
    number = table["published"].index(block) + 1
    facts = [f"Backbone: {block['backbone']}", f"selection: {block['selection']}"]
    facts += [f"scores: {block['scores']}"] if block["scores"] else []
    caption = f"Published, not measured here: {block['source']}. {'; '.join(facts)}. {block['note'] or ''}"
    panels = {
        dataset: [
            [name, *(published_text(block, name, (dataset, metric)) for metric in block["metrics"])]
            for name in block["rows"]
        ]
        for dataset in block["datasets"]
    }
    return _environment(caption.strip(), f"tab:{table['name']}-published-{number}", block["metrics"], panels, [])


def _environment(
    caption: str, label: str, head: Sequence[str], panels: dict[str, list[list[str]]], notes: Sequence[str]
) -> str:
    """Formats a table environment with a panel of rows for each dataset."""
    lines = [r"\begin{table}", r"\centering\footnotesize", rf"\caption{{{escaped(caption)}}}", rf"\label{{{label}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(head)}}}", r"\toprule", _line(["", *head])]
    for dataset, rows in panels.items():
        lines += [r"\midrule", rf"\multicolumn{{{len(head) + 1}}}{{l}}{{\emph{{{escaped(dataset)}}}}} \\"]
        lines += [_line(row) for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *(rf"\par {escaped(note)}" for note in notes), r"\end{table}"])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
