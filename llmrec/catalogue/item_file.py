"""The config group items: the file of item tokens that it names. Imports the standard library only."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmrec.errors import InputError

TITLES, TOKENS = "titles", "tokens"
"""Values of items.name."""


def item_file(items: Mapping[str, Any]) -> Path | None:
    """Returns the file of item tokens that the config group `items` names; None if titles represent items.

    Raises:
        InputError: If the settings cannot be used.
    """
    name, file = items.get("name"), items.get("file")
    if name == TITLES:
        return None
    if name != TOKENS:
        raise InputError(f"items.name={name}: expected {TITLES} or {TOKENS}. Choose items={TITLES} or items={TOKENS}")
    if not isinstance(file, str) or file == "???":
        raise InputError(
            "items=tokens needs a file. Set items.file=FILE to an .index.json file, which python -m "
            "llmrec.semantic_ids makes"
        )
    return Path(file).expanduser()


def items_identity(items: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config group `items` with the content of the file in place of its path, for keys.

    Raises:
        InputError: If the settings cannot be used or the file cannot be read.
    """
    file = item_file(items)
    if file is None:
        return {"name": TITLES}
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"items.file={file} cannot be read: {error.strerror}. Give the path of an .index.json file"
        ) from error
    return {"name": TOKENS, "file": hashlib.sha256(content).hexdigest()}
