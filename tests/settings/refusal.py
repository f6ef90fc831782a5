"""Checks settings of a class as a config gives them."""

from collections.abc import Mapping
from typing import Any

from llmrec.settings.typed import Check


def refusal(owner: type, settings: Mapping[str, Any], path: str) -> str:
    """Returns why settings of a class are refused; "" if they are not."""
    check = Check()
    check.arguments(owner, settings, path, complete=False)
    return "; ".join(message for _, message in check.problems)
