"""Checks settings against annotations: those of a group of the schema, or of the constructor that `_target_` names."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from math import inf
from typing import Any

from pydantic import ValidationError

from llmrec.errors import SettingsError
from llmrec.settings.annotations import dataclass_in, parameters_of, typed_value
from llmrec.settings.describe import expected, shown
from llmrec.settings.types import MAX_INT
from llmrec.settings.unknown import keys_beside, unknown_key

NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass
class Check:
    """A check of settings, which collects what is wrong with them.

    Attributes:
        own: Dotted keys that YAML files of the user's own set, which are known although the schema does not have them.
        problems: A dotted key and a message for each setting that is refused.
    """

    own: frozenset[str] = frozenset()
    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, path: str, message: str) -> None:
        """Adds a problem."""
        self.problems.append((path, message))

    def raise_first(self) -> None:
        """Raises a SettingsError with the first problem, if there is one."""
        for _, message in self.problems:
            raise SettingsError(message)

    def arguments(
        self, owner: Callable[..., Any], given: Mapping[str, Any], path: str, complete: bool = True
    ) -> dict[str, Any]:
        """Checks the arguments of a dataclass of the schema, or of a constructor.

        Args:
            owner: What takes the settings.
            given: The settings.
            path: Dotted key of the group; "" for the root.
            complete: Whether every parameter without a default must be given.

        Returns:
            The settings with the types of the annotations. Refused ones are returned unchanged.
        """
        parameters, before = parameters_of(owner), len(self.problems)
        takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
        known = {name: parameter for name, parameter in parameters.items() if parameter.kind in NAMED}
        typed = dict(given)
        for key, value in given.items():
            inner = f"{path}.{key}" if path else str(key)
            if key in known:
                typed[key] = self.value(known[key].annotation, value, inner)
            elif not takes_any and inner not in self.own:
                self.refuse(inner, unknown_key(inner, {*known, *keys_beside(inner, self.own)}))
        for name, parameter in known.items():
            if complete and parameter.default is Parameter.empty and name not in given:
                inner = f"{path}.{name}" if path else name
                hint = getattr(owner, "missing_hint", "")
                self.refuse(inner, f"{inner} is not set: {expected(parameter.annotation)}{hint}")
        if len(self.problems) == before:
            self._check_relations(owner, known, typed, path)
        return typed

    def value(self, annotation: Any, value: Any, path: str) -> Any:
        """Checks one setting.

        Args:
            annotation: The type that it must have.
            value: Its value.
            path: Its dotted key.

        Returns:
            The value with the annotated type, or unchanged if it is refused.
        """
        group = dataclass_in(annotation)
        if group is not None and isinstance(value, Mapping):
            return self.arguments(group, value, path)
        try:
            return typed_value(annotation, value)
        except ValidationError:
            is_huge = isinstance(value, int | float) and MAX_INT < abs(value) < inf
            self.refuse(path, f"{path}={shown(value)}{' is too large' if is_huge else ''}: {expected(annotation)}")
            return value

    def _check_relations(
        self, owner: Callable[..., Any], known: Mapping[str, Parameter], typed: Mapping[str, Any], path: str
    ) -> None:
        """Calls the owner's `validate`, if it has one, with all settings and defaults."""
        if not isinstance(inspect.getattr_static(owner, "validate", None), staticmethod | classmethod):
            return
        validate: Callable[[Mapping[str, Any]], None] = getattr(owner, "validate")  # noqa: B009
        defaults = {name: one.default for name, one in known.items() if one.default is not Parameter.empty}
        try:
            validate({**defaults, **typed})
        except ValueError as error:
            self.refuse(path, f"{path}.{error}")
