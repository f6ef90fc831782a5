"""Reads the annotations of what takes settings, and validates values against them with pydantic."""

import inspect
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import is_dataclass
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@cache
def parameters_of(owner: Callable[..., Any]) -> Mapping[str, Parameter]:
    """Returns the parameters of a constructor or function by name, with annotations evaluated if possible."""
    constructor = getattr(owner, "__init__", None) if isinstance(owner, type) else None
    # nn.Module's own constructor has **kwargs in its signature, but takes none.
    if (getattr(constructor, "__module__", None) or "").startswith("torch."):
        return {}
    try:
        return inspect.signature(owner, eval_str=True).parameters
    except (NameError, AttributeError, SyntaxError, TypeError):
        return inspect.signature(owner).parameters


def typed_value(annotation: Any, value: Any) -> Any:
    """Returns a plain value with the types of an annotation: 42 for 42.0 where an integer is expected.

    Types that pydantic does not know, and values that contain a `_target_` where an object may stand, are returned
    unchanged.

    Raises:
        ValidationError: The annotation does not accept the value.
    """
    adapter = None if names_class(value) and takes_objects(annotation) else _adapter(annotation)
    if adapter is None:
        return value
    # In JSON, a list is accepted for a tuple and text for a path, but text is not accepted for a number.
    found = adapter.validate_json(json.dumps(_integral(value)))
    return adapter.dump_python(found, mode="json", warnings=False)


def dataclass_in(annotation: Any) -> type | None:
    """Returns the dataclass that is the annotation or an option of its union; None if there is none."""
    options: Collection[Any] = (annotation, *get_args(annotation))
    return next((option for option in options if isinstance(option, type) and is_dataclass(option)), None)


def names_class(value: Any) -> bool:
    """Returns whether a value is a mapping with `_target_`, or contains one."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(names_class, value.values()))
    return isinstance(value, list) and any(map(names_class, value))


def takes_objects(annotation: Any) -> bool:
    """Returns whether an annotation, or an option or part of it, is a class of objects: no scalar, list or choice."""
    if annotation in (Parameter.empty, Any) or isinstance(annotation, str):
        return True
    parts = get_args(annotation)
    if parts:
        return get_origin(annotation) is not Literal and any(map(takes_objects, parts))
    return isinstance(annotation, type) and annotation not in (bool, int, float, str, type(None), Path)


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    # An annotation that could not be evaluated is text.
    if annotation is Parameter.empty or isinstance(annotation, str):
        return None
    try:
        return TypeAdapter(annotation, config=STRICT)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None


def _integral(value: Any) -> Any:
    """Replaces floats without a fraction by integers, which are valid where a float is expected, too."""
    if isinstance(value, Mapping):
        return {key: _integral(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_integral(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
