"""Reads files that a baseline wrote after its fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from llmrec.errors import InputError


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raises InputError, which says what to do, if a file cannot be read within the context."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"cannot read {path}: {error}. Fit it again: delete the folder of its run and repeat its command"
        ) from error
