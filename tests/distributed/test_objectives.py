"""Two ranks take the step that one takes, for every shipped objective and uneven rows."""

from pathlib import Path

import pytest
from torch import distributed

from tests.distributed.ranks import together
from tests.invariants.world import CASES_BY_TIER, ROWS, Step, assert_same_step, build_world, micro_batches, take_step
from tests.tiers import selected

STEPS = [list(range(len(ROWS))), [6, 1, 4, 2, 7], [3]]
"""Each step begins with the state that the one before left; rows do not divide, and of the last one rank has none."""

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


@pytest.fixture(scope="module")
def by_two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Step]]:
    """The steps of every case that is tested, taken by two ranks."""
    return together(selected(request, "case"), STEPS, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("case", CASES_BY_TIER)
def test_two_ranks_are_one(case: tuple[str, ...], by_two: dict[str, list[Step]], cache: Path) -> None:
    world = build_world(case, cache)
    for rows, step in zip(STEPS, by_two[" ".join(case)], strict=True):
        assert_same_step(take_step(world, micro_batches(world, rows)), step)
