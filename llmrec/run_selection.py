"""Finds the runs that an argument run=... names, for all commands that take several runs."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from llmrec.errors import InputError

CONFIG = "config.yaml"
"""The file that every folder of a run has."""


def selected_runs(text: str) -> list[Path]:
    """Returns the folders of the runs that an argument names, without duplicates.

    Args:
        text: The folder of a run, a folder that contains runs, a glob pattern of such folders, or a list of these,
            separated by commas and optionally in brackets.

    Raises:
        InputError: A folder or pattern names no run.
    """
    # A folder may have a comma or a bracket in its name.
    if Path(text).is_dir() and text:
        parts = [text]
    else:
        listed = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        parts = [part.strip() for part in listed.split(",")]
    found: dict[Path, None] = {}
    for part in parts:
        runs = list(_runs(part)) if part else []
        if not runs:
            raise InputError(_nothing(text, part))
        found |= dict.fromkeys(runs)
    return list(found)


def _runs(part: str) -> Iterator[Path]:
    """Yields the runs of a folder or pattern, sorted by path."""
    for folder in [part] if os.path.isdir(part) else sorted(glob.glob(part)):
        for parent, children, files in os.walk(folder):
            if CONFIG in files:
                yield Path(parent)
                children.clear()
            # Hydra's folder .hydra has a config.yaml, too.
            children[:] = sorted(name for name in children if not name.startswith("."))


def _nothing(text: str, part: str) -> str:
    where = f"run={text}" if part in ("", text) else f"run={text}: {part}"
    if os.path.isdir(part):
        return f"{where}: the folder contains no run. A run has a {CONFIG}, as runs/<...>/<key> does"
    if glob.has_magic(part):
        return f"{where}: the pattern matches no folder of a run. Give a pattern such as 'runs/games/*', in quotes"
    return f"{where}: there is no such folder. Give run=runs/<...>/<key>, a list of folders, or a pattern in quotes"
