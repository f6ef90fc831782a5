"""What holds for every objective in conf/objective, those to come included."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.objectives.base import Batch
from llmrec.training.train import _check
from tests.invariants.world import (
    CASES_BY_TIER,
    ROWS,
    World,
    assert_same_step,
    build_objective,
    build_world,
    micro_batches,
    take_step,
)
from tests.training.small import resolved

ALL = list(range(len(ROWS)))
Case = tuple[str, ...]

pytestmark = pytest.mark.parametrize("case", CASES_BY_TIER)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def micro_batched(cache: Path) -> dict[int | None, DictConfig]:
    """Runs whose steps of 8 rows come whole, in two halves, and in 5 + 3 rows."""
    words = {None: "null", 4: "4", 5: "5"}
    return {
        size: resolved(cache, "trainer.batch_size=8", f"trainer.micro_batch_size={word}")
        for size, word in words.items()
    }


def skip_whole_step(world: World) -> None:
    if world.objective.needs_whole_step:
        pytest.skip("needs the whole step in one micro-batch, which is refused before training")


def skip_surrogate(world: World) -> None:
    if world.objective.samples_responses:
        pytest.skip("its loss has only the gradient of what is optimized; see tests/objectives/test_grpo.py")


def test_the_loss_is_finite_and_positive(case: Case, cache: Path) -> None:
    world = build_world(case, cache)
    skip_surrogate(world)
    step = take_step(world, micro_batches(world, ALL))
    assert 0 < step.loss < float("inf")


def test_every_weight_is_trained_and_has_a_finite_gradient(case: Case, cache: Path) -> None:
    world = build_world(case, cache)
    gradients = take_step(world, micro_batches(world, ALL)).gradients
    assert gradients.keys() == dict(world.backbone.named_parameters()).keys()
    assert all(bool(gradient.isfinite().all()) and bool(gradient.any()) for gradient in gradients.values())


def test_frozen_weights_have_no_gradient(case: Case, cache: Path) -> None:
    world = build_world(case, cache, lora=True)
    gradients = take_step(world, micro_batches(world, ALL)).gradients
    assert gradients.keys() == {name for name, _ in world.backbone.named_parameters() if "lora_" in name}
    assert all(bool(gradient.any()) for gradient in gradients.values())


def assert_same_two_steps(one: World, other: World, parts: Sequence[Batch], other_parts: Sequence[Batch]) -> None:
    """Two steps, for the second has the state that the first one left."""
    for _ in range(2):
        assert_same_step(take_step(one, parts), take_step(other, other_parts))


def test_padding_changes_nothing(case: Case, cache: Path) -> None:
    world, other = build_world(case, cache), build_world(case, cache)
    (batch,), _ = micro_batches(world, ALL), micro_batches(other, ALL)
    packed = replace(batch.packed, tokens=torch.where(batch.packed.branch < 0, 7, batch.packed.tokens))
    assert not torch.equal(packed.tokens, batch.packed.tokens)
    assert_same_two_steps(world, other, [batch], [replace(batch, packed=packed)])


def test_the_order_of_the_rows_changes_nothing(case: Case, cache: Path) -> None:
    world, other = build_world(case, cache), build_world(case, cache)
    permuted = micro_batches(other, [5, 0, 7, 2, 6, 1, 4, 3])
    assert_same_two_steps(world, other, micro_batches(world, ALL), permuted)


@pytest.mark.parametrize("parts", [[[row] for row in ALL], [[0, 1, 2], [3, 4, 5], [6, 7]]], ids=["8x1", "3+3+2"])
def test_accumulation_changes_nothing(case: Case, cache: Path, parts: Sequence[Sequence[int]]) -> None:
    world, other = build_world(case, cache), build_world(case, cache)
    skip_whole_step(world)
    assert_same_two_steps(world, other, micro_batches(world, ALL), micro_batches(other, *parts))


def test_an_objective_that_needs_the_whole_step_refuses_accumulation(
    case: Case, micro_batched: dict[int | None, DictConfig]
) -> None:
    objective = build_objective(case)
    _check(objective, micro_batched[None])
    for size in (4, 5):
        if not objective.needs_whole_step:
            _check(objective, micro_batched[size])
            continue
        with pytest.raises(InputError, match=r"trainer\.micro_batch_size"):
            _check(objective, micro_batched[size])


def test_indices_that_are_computed_with_the_batch_change_nothing(case: Case, cache: Path) -> None:
    world, other = build_world(case, cache), build_world(case, cache)
    batches = micro_batches(world, ALL)
    bare = [replace(batch, indices={}) for batch in micro_batches(other, ALL)]
    assert_same_step(take_step(world, batches), take_step(other, bare))


def test_branches_are_plain_sequences(case: Case, cache: Path) -> None:
    fast, plain = build_world(case, cache), build_world(case, cache)
    plain.backbone.uses_plain_path = True
    assert_same_step(take_step(fast, micro_batches(fast, ALL)), take_step(plain, micro_batches(plain, ALL)))


def test_sharing_the_prompts_start_changes_nothing(case: Case, cache: Path) -> None:
    world, other = build_world(case, cache), build_world(case, cache)
    assert other.data.shared_columns > 20
    other.data.checkpointing = True
    assert_same_step(take_step(world, micro_batches(world, ALL)), take_step(other, micro_batches(other, ALL)))


def test_a_few_steps_lower_the_loss(case: Case, cache: Path) -> None:
    world = build_world(case, cache)
    skip_surrogate(world)
    batches = micro_batches(world, ALL)
    untouched = copy.deepcopy(world.objective.state_dict())
    optimizer = torch.optim.AdamW(world.backbone.parameters(), lr=1e-2)
    before = take_step(world, batches).loss
    totals = world.objective.totals(batches[0])
    for _ in range(6):
        part = world.objective(world.backbone.encode(batches[0].packed, batches[0].state_index), batches[0], totals)
        part.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        world.objective.close_step(dict(part.statistics))
    # Both are measured from the state that training begins with, for a temperature scales the loss.
    world.objective.load_state_dict(untouched)
    assert take_step(world, batches).loss < 0.9 * before


def test_the_state_that_a_checkpoint_keeps_is_all_of_it(case: Case, cache: Path) -> None:
    world, resumed = build_world(case, cache), build_world(case, cache)
    for rows in (ALL, ALL[:5]):
        take_step(world, micro_batches(world, rows))
    resumed.objective.load_state_dict(world.objective.state_dict())
    assert_same_step(
        take_step(world, micro_batches(world, ALL[2:])), take_step(resumed, micro_batches(resumed, ALL[2:]))
    )


def test_what_it_monitors_are_finite_numbers(case: Case, cache: Path) -> None:
    world = build_world(case, cache)
    take_step(world, micro_batches(world, ALL))
    assert all(abs(value) < float("inf") for value in world.objective.monitors().values())
