"""Reads the keys of a YAML file with the comments beside and above them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node

CONTINUATION_COLUMN = 16
"""A comment on a line of its own continues the comment above it if it starts at this column or further right."""


@dataclass(frozen=True)
class Key:
    """A key of a YAML file.

    Attributes:
        name: The full name, with dots.
        value: The value as it is written; empty for a mapping whose keys follow.
        comment: The comment above the key and the one beside it.
    """

    name: str
    value: str
    comment: str


def head_comment(file: Path) -> list[str]:
    """Returns the comment lines at the beginning of a file, without `#` and without Hydra's directives."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line[1:].strip())
    return lines


def keys(file: Path) -> list[Key]:
    """Returns the keys of a file in their order, except Hydra's defaults list."""
    text = file.read_text(encoding="utf-8")
    root = yaml.compose(text)
    return list(_keys(root, text, "")) if isinstance(root, MappingNode) else []


def _keys(mapping: MappingNode, text: str, parent: str) -> Iterator[Key]:
    lines = text.splitlines()
    for key, value in mapping.value:
        name = f"{parent}{key.value}"
        if name in ("defaults", "hydra"):
            continue
        nested = isinstance(value, MappingNode) and not value.flow_style
        line = key.start_mark.line if nested or _is_text(value) else value.end_mark.line
        column = key.end_mark.column if nested or _is_text(value) else value.end_mark.column
        comments = [*_above(lines, key.start_mark.line), _beside(lines, line, column)]
        yield Key(name, "" if nested else _written(value, text), " ".join(filter(None, comments)))
        if nested:
            yield from _keys(value, text, f"{name}.")


def _is_text(value: Node) -> bool:
    """Whether a value is a block of text, such as a prompt."""
    return getattr(value, "style", None) == "|"


def _written(value: Node, text: str) -> str:
    if _is_text(value):
        return "(a text)"
    return " ".join(text[value.start_mark.index : value.end_mark.index].split())


def _beside(lines: list[str], line: int, column: int) -> str:
    """The comment behind a value, with the lines that continue it."""
    parts = [lines[line][column:].partition("#")[2].strip()]
    for below in lines[line + 1 :]:
        if not (_is_comment(below) and _indent(below) >= CONTINUATION_COLUMN):
            break
        parts.append(below.strip().lstrip("# "))
    return " ".join(filter(None, parts))


def _above(lines: list[str], line: int) -> list[str]:
    """The comment lines directly above a key, except those at the head of the file and those that continue another."""
    first = line
    while first > 0 and _is_comment(lines[first - 1]) and _indent(lines[first - 1]) < CONTINUATION_COLUMN:
        first -= 1
    return [] if first == 0 else [comment.strip().lstrip("# ") for comment in lines[first:line]]


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
