"""Pages of the reference that are generated: the keys of all config groups, and the help texts of the commands."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

COMMANDS = ("run", "evaluate", "measure", "recommend", "diagnose", "prepare", "semantic_ids", "report", "reproduce")
HIDDEN = ("hydra", "shared")
KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>.*?))?(?: +# ?(?P<comment>.*))?$")


def config_page(conf: Path) -> str:
    """Returns the page of all config groups: each option's YAML file, its comments and its keys as a table.

    Args:
        conf: The folder conf/ of the repository.
    """
    lines = [
        "# Configuration",
        "",
        "Generated from the YAML files in `conf/`. Choose an option with `group=option`, set a key with `group.key=value`.",
        "",
        "## Top level",
        "",
        *_option(conf / "config.yaml", "", until="hydra:"),
    ]
    for folder in sorted(
        path for path in conf.rglob("*") if path.is_dir() and path.relative_to(conf).parts[0] != "hydra"
    ):
        files = sorted(folder.glob("*.yaml"))
        group = str(folder.relative_to(conf))
        if files:
            lines += [f"## `{group}`", ""]
        for file in files:
            lines += [f"### `{group}={file.stem}`", "", *_option(file, _package(group))]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Returns the page of the commands, which is their help texts."""
    lines = ["# Commands", "", "Each command prints its help with `--help`.", ""]
    for name in COMMANDS:
        lines += [f"## `python -m llmrec.{name}`", ""]
        help_text = getattr(importlib.import_module(f"llmrec.{name}"), "HELP", None)
        if help_text is None:
            lines += ["Takes settings of all config groups; see [Configuration](config.md).", ""]
        else:
            lines += ["```text", help_text.rstrip(), "```", ""]
    return "\n".join(lines) + "\n"


def _package(group: str) -> str:
    """The place of a group's keys in the config: that of dataset/shared is dataset."""
    return group.removesuffix("/shared").replace("/", ".")


def _option(file: Path, package: str, until: str | None = None) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if until is not None:
        text = text.partition(f"\n{until}")[0]
    comments, rows = _parsed(text, "" if text.startswith("# @package _global_") else package)
    lines = [*comments, ""] if comments else []
    if rows:
        lines += ["| key | default | |", "|---|---|---|", *rows, ""]
    return lines


def _parsed(text: str, package: str) -> tuple[list[str], list[str]]:
    """Returns the comment lines at the head of a YAML file, and a table row for each key."""
    lines = text.splitlines()
    head = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comments = [_comment(line) for line in lines[:head] if not line.startswith("# @package")]
    return comments, [
        f"| `{key}` | {_code(value)} | {_cell(comment)} |" for key, value, comment in _keys(lines[head:], package)
    ]


def _keys(lines: list[str], package: str) -> Iterator[tuple[str, str, str]]:
    """Yields the full name, the value and the comment of each key; a comment above a key comes before the one beside it."""
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    entries: list[list[str]] = []
    skipped: int | None = None  # the indent of a block whose lines are no keys: defaults, a text
    for line in lines:
        stripped, indent = line.strip(), len(line) - len(line.lstrip())
        if skipped is not None and (not stripped or indent > skipped):
            continue
        skipped = None
        match = KEY.match(line)
        if stripped.startswith("#"):
            # A comment far to the right goes on from the line above it.
            if indent > 8 and entries:
                entries[-1][2] += " " + stripped.lstrip("# ")
            else:
                above.append(stripped.lstrip("# "))
        elif match is None:
            above.clear()
        else:
            key, value = match["key"], match["value"] or ""
            if key == "defaults" or value in ("|", "|-"):
                skipped = indent
            if key != "defaults":
                while parents and parents[-1][0] >= indent:
                    parents.pop()
                name = ".".join([*([package] if package else []), *(parent for _, parent in parents), key])
                entries.append(
                    [
                        name,
                        "a text" if value.startswith("|") else value,
                        " ".join([*above, match["comment"] or ""]).strip(),
                    ]
                )
                parents.append((indent, key))
            above.clear()
    return (tuple(entry) for entry in entries)  # type: ignore[misc]


def _comment(line: str) -> str:
    text = line.lstrip("#").strip()
    command = re.match(r"(LLMREC_DATA=\S+ )?(python -m|pip install)", text)
    return f"\n    {text}\n" if command else _cell(text)


def _code(value: str) -> str:
    return f"`` {value} ``" if value else ""


def _cell(text: str) -> str:
    """Escapes what Markdown and tables would read as markup."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", text)
