"""Describes in words the values that a type accepts, for error messages."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from llmrec.settings.types import MAX_FLOAT, MAX_INT

NAMES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
LIMITS = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below"}
MAX_SHOWN = 60
"""Characters of a refused value that a message quotes."""


def expected(annotation: Any) -> str:
    """Returns what to give for a setting of a type, as the end of an error message."""
    if get_origin(annotation) is Literal:
        return f"choose one of {', '.join(map(shown, get_args(annotation)))}"
    return f"give {describe(annotation)}"


def shown(value: Any) -> str:
    """Returns a value as it is written on the command line, shortened."""
    if value is None:
        return "null"
    text = str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def describe(annotation: Any) -> str:
    """Describes the values of a type, such as "a whole number of at least 1, or null"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin is Literal:
        return _joined([shown(value) for value in arguments])
    if origin in (Union, UnionType):
        return _joined([describe(argument) for argument in arguments])
    if annotation in NAMES:
        return NAMES[annotation]
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}: {', '.join(describe(argument) for argument in arguments)}"
    if isinstance(origin or annotation, type):
        return _container(origin or annotation, arguments)
    return "another value"


def _annotated(base: Any, metadata: Sequence[Any]) -> str:
    texts = [entry.description for entry in metadata if isinstance(entry, FieldInfo) and entry.description]
    if texts:
        return texts[0]
    constraints = [limit for entry in metadata for limit in getattr(entry, "metadata", [entry])]
    found = {name: getattr(limit, name) for limit in constraints for name in LIMITS if hasattr(limit, name)}
    # Limits that only keep libraries from overflowing say nothing about a setting.
    found = {name: limit for name, limit in found.items() if abs(limit) not in (MAX_INT, MAX_FLOAT)}
    limits = [f"{LIMITS[name]} {limit}" for name, limit in found.items()]
    if "ge" in found and len(found) == 2:
        limits = [f"from {found['ge']} to {found['le'] if 'le' in found else 'below ' + str(found['lt'])}"]
    # A length is the only other constraint in use: text that must not be empty.
    needs_content = any(getattr(limit, "min_length", 0) for limit in constraints)
    return " ".join([describe(base), *([" and ".join(limits)] if limits else [])]) + (
        ", not empty" if needs_content else ""
    )


def _container(kind: type, arguments: Sequence[Any]) -> str:
    if issubclass(kind, Mapping):
        return "keys and values" + (f", each value {describe(arguments[1])}" if arguments else "")
    if issubclass(kind, Sequence | set | frozenset | tuple):
        return "a list" + (f", each entry {describe(arguments[0])}" if arguments else "")
    if is_dataclass(kind):
        return f"the keys {', '.join(field.name for field in fields(kind))}"
    return f"a {kind.__name__}, named by _target_"


def _joined(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
