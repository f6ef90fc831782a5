"""Formats tables in Markdown that are readable as plain text, too."""

import re
from collections.abc import Sequence

HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SPECIAL = re.compile(r"[\\`\[\]|~#&<>]|\*(?=\S)|(?<!\w)_(?=\S)")
"""Characters with a meaning in Markdown or HTML; asterisks and underscores only where they can begin emphasis."""


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a Markdown table with padded columns, all but the first aligned right."""
    lines = [[escaped(text) for text in line] for line in (head, *rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(texts, widths) for texts in (lines[0], rule, *lines[1:]))


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    figures = [text.rjust(width) for text, width in zip(texts[1:], widths[1:], strict=True)]
    return f"| {' | '.join([texts[0].ljust(widths[0]), *figures])} |"


def unescaped(markdown: str) -> str:
    """Returns Markdown as a terminal shows it best: without the escapes of `escaped`."""
    plain = re.sub(r"\\([\\`\[\]|~#*_])", r"\1", markdown)
    for character, entity in reversed(HTML.items()):
        plain = plain.replace(entity, character)
    return plain


def escaped(text: str) -> str:
    """Escapes text for Markdown and joins it into one line, since records may contain markup from other machines."""
    line = " ".join(text.split())
    return SPECIAL.sub(lambda match: HTML.get(match[0], f"\\{match[0]}"), line)
