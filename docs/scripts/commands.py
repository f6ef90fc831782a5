"""Finds the commands and the files that a page shows."""

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```bash\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^`(?P<name>[\w./-]+)`:\n\n```\w*\n(?P<content>.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        line: The command as it is typed, with continuation lines joined.
        reason: Why the tests do not run it; None if they do.
    """

    line: str
    reason: str | None


def commands(page: Path) -> list[Command]:
    """Returns the commands of a page's fenced bash blocks."""
    return [
        Command(" ".join(line.split()), block["reason"])
        for block in BLOCK.finditer(page.read_text(encoding="utf-8"))
        for line in block["lines"].replace("\\\n", " ").splitlines()
    ]


def shown_files(page: Path) -> dict[str, str]:
    """Returns the files that a page shows, by their path: a line with the path in backticks, then a fenced block."""
    return {match["name"]: match["content"] for match in FILE.finditer(page.read_text(encoding="utf-8"))}
