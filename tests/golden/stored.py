"""The stored golden values: a JSON file for each component and result version, whose values are never changed."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.versions import VERSIONS
from tests.golden.values import Values

DIGITS = 10
"""Significant digits of a stored number."""
RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Tolerances: numbers are equal if they differ by less than either. Processors add float32 numbers in other orders."""
LOOSE, LOOSE_RELATIVE = "weights", 5e-3
"""Kind of value with a tolerance of its own: small updates of weights are sums of many small numbers."""
PREFERRED, MARGIN = "train/preferred", "train/margin"
"""The share of positive margins, and their mean."""
ROUNDING = 1e-6
"""Mean of margins that are zero but for rounding: those over a reference from which the weights have not moved. Their
signs depend on the processor."""
LEVELS = 3
"""Case, kind of value, name: deeper values share a line."""
ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """A value that is not what is stored."""

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.old} -> {self.new}"

    @property
    def relative(self) -> float:
        """How far two numbers are apart, as a share of the larger one; infinite for what is no pair of numbers."""
        if not (_is_number(self.old) and _is_number(self.new)):
            return math.inf
        return abs(self.old - self.new) / max(abs(self.old), abs(self.new))


def stored_file(component: str) -> Path:
    """Returns the file of the golden values of a component in its present version."""
    return Path(__file__).parent / "values" / f"{component}.{VERSIONS[component]}.json"


def read_stored(component: str) -> Values | None:
    """Returns the golden values of a component; None if its present version has none yet."""
    file = stored_file(component)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def write_stored(component: str, values: Values) -> None:
    """Stores the golden values of a component in its present version."""
    stored_file(component).write_text(_text(values, LEVELS) + "\n", encoding="utf-8")


def differences(old: Any, new: Any) -> list[Difference]:
    """Compares nested values: numbers within the tolerances, the rest exactly."""
    stored, found = dict(_leaves(old, "")), dict(_leaves(new, ""))
    pairs = [(name, stored.get(name, ABSENT), found.get(name, ABSENT)) for name in {**stored, **found}]
    return [
        Difference(*pair) for pair in pairs if not _equal(*pair) and not _is_sign_of_rounding(pair[0], stored, found)
    ]


def _is_sign_of_rounding(name: str, stored: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether a value is a share of positive margins, and both margins are zero but for rounding."""
    margin = name.replace(PREFERRED, MARGIN)
    return margin != name and all(abs(leaves.get(margin, math.inf)) < ROUNDING for leaves in (stored, found))


def _equal(name: str, old: Any, new: Any) -> bool:
    if _is_number(old) and _is_number(new):
        relative = LOOSE_RELATIVE if LOOSE in name.split(" / ") else RELATIVE
        return math.isclose(old, new, rel_tol=relative, abs_tol=ABSOLUTE)
    return bool(old == new)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yields the numbers and texts of nested values, each with the path to it."""
    if not isinstance(value, dict | list):
        yield name, value
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(part, f"{name} / {key}" if name else str(key))


def _text(value: Any, levels: int) -> str:
    if levels == 0 or not isinstance(value, Mapping):
        return json.dumps(_rounded(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    indent = " " * (LEVELS - levels)
    lines = [f"{indent} {json.dumps(key)}: {_text(part, levels - 1)}" for key, part in sorted(value.items())]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
