"""The stored values of the golden runs: a JSON file a family, a line for each name of a value."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.golden.values import Values

DIGITS = 10
"""Significant digits of a stored number."""
RELATIVE, ABSOLUTE = 1e-6, 1e-6
"""Tolerances: numbers are equal when they differ by less than either."""
PROCESSOR = "AuthenticAMD family 25 model 17, AVX512"
"""Where the values were made. Others add float32 sums in another order."""
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


def processor() -> str:
    """Returns what tells processors apart that round differently."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{facts.get('vendor_id')} family {facts.get('cpu family')} model {facts.get('model')}, {capability}"


def stored_file(family: str) -> Path:
    """Returns the file of a family's values."""
    return Path(__file__).with_name(f"{family}.json")


def read_stored(family: str) -> dict[str, Values]:
    """Returns the stored values by case, none where there is no file."""
    file = stored_file(family)
    values: dict[str, Values] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return values


def write_stored(family: str, values: Mapping[str, Values]) -> None:
    """Stores the values of all cases of a family."""
    stored_file(family).write_text(_text(values, LEVELS) + "\n", encoding="utf-8")


def differences(old: Any, new: Any) -> list[Difference]:
    """Compares nested values: numbers within the tolerances, the rest exactly."""
    stored, found = dict(_leaves(old, "")), dict(_leaves(new, ""))
    pairs = [(name, stored.get(name, ABSENT), found.get(name, ABSENT)) for name in {**stored, **found}]
    return [Difference(*pair) for pair in pairs if not _equal(*pair[1:])]


def _equal(old: Any, new: Any) -> bool:
    if _is_number(old) and _is_number(new):
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
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
