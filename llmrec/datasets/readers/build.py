"""Builds a reader from its config. Imports the standard library, pydantic and the reader's own module only."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from llmrec.datasets.readers.base import Reader
from llmrec.errors import InputError
from llmrec.settings.typed import Check


def build_reader(config: Any) -> Reader:
    """Builds the reader that a config names.

    Args:
        config: The resolved Hydra group `dataset/reader`: `_target_` and the arguments of its constructor.

    Raises:
        InputError: The config has no `_target_`, which is no reader, or its settings are not those of the reader.
    """
    found = reader_class(config)
    settings = {str(key): value for key, value in config.items() if key != "_target_"}
    check = Check()
    typed = check.arguments(found, settings, "dataset.reader")
    check.raise_first()
    arguments = inspect.signature(found).bind(**typed)
    arguments.apply_defaults()
    reader = found(*arguments.args, **arguments.kwargs)
    reader.settings = arguments.arguments
    return reader


def reader_class(config: Any) -> type[Reader]:
    """Imports the class of the reader that a config names.

    Raises:
        InputError: The config has no `_target_`, or one which is no reader.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("_target_"), str):
        raise InputError(f"dataset.reader={config} has no _target_. Choose a reader by its name: dataset/reader=auto")
    target = config["_target_"]
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"dataset.reader._target_={target} cannot be imported ({error}). Name the class with its module, and start "
            "the command in the folder that contains the top-level package, or add that folder to PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Reader)) or inspect.isabstract(found):
        raise InputError(
            f"dataset.reader._target_={target} is no reader. Name a subclass of InteractionReader that has `read`, or "
            "of Reader that has `prepare`"
        )
    return found
