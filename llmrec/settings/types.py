"""Types of settings, for the groups of the schema and for constructors that `_target_` chooses.

Imports pydantic only. Infinity and NaN are refused for all floats when settings are checked. Numbers have limits beyond
which libraries overflow.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

MAX_SEED = 2**32 - 1
"""The largest seed that NumPy accepts."""
MAX_INT = 2**31 - 1
MAX_FLOAT = 1e30

PositiveInt = Annotated[int, Field(ge=1, le=MAX_INT)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INT)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
PositiveFloat = Annotated[float, Field(gt=0, le=MAX_FLOAT)]
NonNegativeFloat = Annotated[float, Field(ge=0, le=MAX_FLOAT)]
LengthPenalty = Annotated[float, Field(ge=-100, le=100)]
Probability = Annotated[float, Field(ge=0, le=1)]
ProbabilityBelowOne = Annotated[float, Field(ge=0, lt=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]


def _check_name(name: str) -> str:
    if ".." in name:
        raise ValueError("'..' is no part of a name")
    return name


def _check_sum(shares: tuple[float, ...]) -> tuple[float, ...]:
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError("the shares do not sum to 1")
    return shares


def _check_splits(splits: list[str]) -> list[str]:
    if splits not in (["valid"], ["test"], ["valid", "test"]):
        raise ValueError("another list")
    return splits


def _check_limits(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        raise ValueError("the lower limit is not below the upper one")
    return limits


Limits = Annotated[
    tuple[PositiveFloat, PositiveFloat],
    Field(description="a lower and an upper limit above 0, as in [1.5,5]"),
    AfterValidator(_check_limits),
]
Name = Annotated[
    str,
    Field(pattern=r"^\w[\w.+-]*$", description="a name of letters, digits and . _ + -, which is no path"),
    AfterValidator(_check_name),
]
Shares = Annotated[
    tuple[OpenFraction, OpenFraction, OpenFraction],
    Field(description="three positive fractions (train, valid, test) that sum to 1"),
    AfterValidator(_check_sum),
]
Split = Shares | Literal["leave_one_out"]
EvaluatedSplits = Annotated[
    list[str], Field(description="[valid,test], [valid] or [test]"), AfterValidator(_check_splits)
]
Component = Annotated[dict[str, object], Field(description="keys and values, with _target_ naming a class")]
