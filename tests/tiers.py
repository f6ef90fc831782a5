"""Leaves variants of a test to `make test-all`."""

from collections.abc import Iterable
from typing import Any

import pytest


def rest_slow(values: Iterable[Any], kept: int = 1) -> list[Any]:
    """Returns parameters of a test: the first `kept` values as they are, the others marked as slow.

    Args:
        values: The values; a tuple holds those of several arguments.
        kept: Number of values that `make test` runs.
    """
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow if number >= kept else ()
        )
        for number, value in enumerate(values)
    ]


def selected(request: pytest.FixtureRequest, argument: str) -> list[Any]:
    """Returns the values of a test argument with which this session runs tests of the fixture's module, each once.

    A module fixture that prepares all its tests' values in one go then leaves out those that are not tested.

    Args:
        request: The fixture's request.
        argument: Name of the argument.
    """
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    calls = [item.callspec.params for item in items if item.module is request.module and hasattr(item, "callspec")]
    return list(dict.fromkeys(call[argument] for call in calls if argument in call))
