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
