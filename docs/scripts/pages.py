"""Generated pages of the reference: the keys of all config groups, and the help texts of the commands."""

import importlib
import re
from pathlib import Path

from docs.scripts.commands import commands
from docs.scripts.yaml_keys import head_comment, keys
from llmrec.cli import COMMANDS

CONFIG_INTRODUCTION = """\
# Configuration

Generated from the YAML files in `conf/`. Choose an option with `group=option`, set a key with `group.key=value`.

## Top level
"""
NOT_RUN_INTRODUCTION = """\
## Commands that the tests do not run

The tests run all other commands of these pages at `scale=debug`. Of the following ones, they check the settings.

| page | command | reason |
|---|---|---|"""
COMMAND_LINE = re.compile(r"(LLMREC_DATA=\S+ )?python -m |pip install ")


def config_page(conf: Path) -> str:
    """Returns the page of all config groups: each option's YAML file, its comments and its keys as a table.

    Args:
        conf: The folder conf/ of the repository.
    """
    lines = [CONFIG_INTRODUCTION, *_option(conf / "config.yaml", "")]
    for folder in sorted(path for path in conf.rglob("*") if path.is_dir() and "hydra" not in path.parts):
        group, files = str(folder.relative_to(conf)), sorted(folder.glob("*.yaml"))
        if files:
            lines.append(f"## `{group}`\n")
        for file in files:
            lines += [
                f"### `{group}={file.stem}`\n",
                *_option(file, group.removesuffix("/shared").replace("/", ".") + "."),
            ]
    return "\n".join(lines) + "\n"


def commands_page(docs: Path) -> str:
    """Returns the page of the commands: their help texts, and the commands of the pages that the tests do not run.

    Args:
        docs: The folder docs/ of the repository.
    """
    lines = [
        "# Commands\n\n`llmrec NAME` is the same as `python -m MODULE`. Each command prints its help with `--help`.\n"
    ]
    lines += ["| command | module | what it does |\n|---|---|---|"]
    lines += [f"| `llmrec {name}` | `{command.module}` | {command.help} |" for name, command in COMMANDS.items()]
    for name, command in COMMANDS.items():
        help_text = getattr(importlib.import_module(command.module), "HELP", None)
        shown = (
            f"```text\n{help_text.rstrip()}\n```" if help_text else "Takes settings of all [config groups](config.md)."
        )
        lines.append(f"\n## `llmrec {name}`\n\n{shown}\n")
    lines.append(NOT_RUN_INTRODUCTION)
    for page in sorted(docs.rglob("*.md")):
        skipped = [command for command in commands(page) if command.reason is not None]
        lines += [f"| {page.relative_to(docs)} | {_code(command.line)} | {command.reason} |" for command in skipped]
    return "\n".join(lines) + "\n"


def _option(file: Path, package: str) -> list[str]:
    """The comment at the head of a YAML file, then a table of its keys."""
    if file.read_text(encoding="utf-8").startswith("# @package _global_"):
        package = ""
    head = [f"\n    {line}\n" if COMMAND_LINE.match(line) else _escaped(line) for line in head_comment(file)]
    rows = [f"| `{package}{key.name}` | {_code(key.value)} | {_escaped(key.comment)} |" for key in keys(file)]
    return [*head, "\n| key | default | meaning |\n|---|---|---|", *rows, ""] if rows else [*head, ""]


def _code(value: str) -> str:
    return f"`` {value} ``".replace("|", "&#124;") if value else ""


def _escaped(text: str) -> str:
    """Escapes what Markdown and its tables would read as markup."""
    return re.sub(r"([|*_`\[\]])", r"\\\1", text.replace("<", "&lt;").replace(">", "&gt;"))
