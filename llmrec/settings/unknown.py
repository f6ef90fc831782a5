"""Messages about keys that do not exist, with the nearest one that does."""

import difflib
from collections.abc import Collection

from llmrec.renamed import RENAMED


def unknown_key(path: str, known: Collection[str]) -> str:
    """Returns a message that refuses a key.

    Args:
        path: The dotted key.
        known: Keys that exist beside it.
    """
    if path in RENAMED:
        return f"{path} was renamed. Write {RENAMED[path]}"
    parent, _, key = path.rpartition(".")
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return f"{path}: did you mean {f'{parent}.' if parent else ''}{near[0]}?"
    if not known:
        return f"{path}: there is no such setting, because {parent} has none"
    return f"{path}: there is no such setting. Choose one of {', '.join(sorted(known))}"


def keys_beside(path: str, known: Collection[str]) -> set[str]:
    """Returns the last parts of those known dotted keys that are in the same group as a key."""
    parent = path.rpartition(".")[0]
    return {key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent}
