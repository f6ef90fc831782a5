"""The golden runs give the values that are stored for them: a refactoring must, a change need not.

After a change that is meant to move values, `make goldens` prints the old and the new ones and stores the new ones. A
refactoring that moves functions of llmrec or files of a run edits tests/golden/program.py and nothing else here.

The stored values are those of an AMD EPYC 9004 (Zen 4, AVX-512), torch 2.13.0 and one thread a process, in float32:
backbone.dtype takes nothing wider. There they repeat to the last stored digit, in any order of the runs. Float32 sums
depend on the order of their terms: of the 2,700 values that two ranks share with one, all but one agree within the
tolerances (stored.py), and that one is 1.3e-6 away. On another processor the values are not compared: run
`make goldens` there on the code before a change, and again on the code after it.
"""

import pytest
import torch

from tests.golden import program
from tests.golden.cases import FAMILIES
from tests.golden.digests import weight_changes, without_details
from tests.golden.stored import PROCESSOR, differences, processor, read_stored
from tests.golden.values import Runs

CASES = [
    pytest.param(family, name, id=f"{family}: {name}", marks=() if case.quick else pytest.mark.slow)
    for family, members in FAMILIES.items()
    for name, case in members.cases.items()
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The golden runs of this process, which share stages and the start of their weights."""
    return Runs(tmp_path_factory.mktemp("golden"))


@pytest.mark.skipif(processor() != PROCESSOR, reason=f"needs the processor of the stored values ({PROCESSOR})")
@pytest.mark.parametrize(("family", "name"), CASES)
def test_values_are_those_stored(family: str, name: str, runs: Runs) -> None:
    differing = differences(read_stored(family)[name], runs.values(family, name))
    assert not differing, "\n".join(map(str, differing))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_stored_run_is_tested(family: str) -> None:
    assert read_stored(family).keys() == FAMILIES[family].cases.keys()


@pytest.mark.parametrize("group", ["objective", "objective/rejected", "objective/token_loss", "baseline"])
def test_every_option_has_a_golden_run(group: str) -> None:
    chosen = {
        override for family in FAMILIES.values() for case in family.cases.values() for override in case.own.split()
    }
    # What an objective takes by itself is not typed.
    defaults = {"objective/rejected=uniform", "objective/token_loss=sft", "baseline=none"}
    assert {f"{group}={option}" for option in program.options(group)} <= chosen | defaults


def test_differences_are_named() -> None:
    old = {"loss": [1.0, 2.0], "ranked": ["a", "b"], "gone": 1, "users": None}
    new = {"loss": [1.0 + 5e-7, 2.0 + 5e-6], "ranked": ["b", "a"], "users": None, "more": 2}
    assert [difference.name for difference in differences(old, new)] == [
        "loss / 1", "ranked / 0", "ranked / 1", "gone", "more",
    ]  # fmt: skip


def test_numbers_that_are_not_there_differ_from_zero() -> None:
    assert differences({"loss": [0.0]}, {"loss": []})
    assert differences({"loss": 0.0}, {"loss": None})
    assert differences({"loss": 0.0}, {"loss": float("nan")})


def test_weight_changes_tell_one_weight_from_another() -> None:
    start = {"weight": torch.zeros(3)}
    digests = [weight_changes({"weight": moved}, start) for moved in torch.eye(3)]
    assert [digest["weight"][0] for digest in digests] == [1, 1, 1]
    assert len({digest["weight"][1] for digest in digests}) == 3


def test_digest_of_metrics_tells_numbers_and_places_apart() -> None:
    sections: list[dict[str, object]] = [
        {"cold": {"users": 1}, "warm": [0.5, 0.25]},
        {"cold": {"users": 1}, "warm": [0.25, 0.5]},
        {"cold": {"users": 1}, "warm": [0.5, 0.25, 0.0]},
    ]
    digests = [without_details({"test slices": section})["test slices"] for section in sections]
    assert digests == [[3, 1.75, 2.75], [3, 1.75, 3.0], [4, 1.75, 2.75]]
