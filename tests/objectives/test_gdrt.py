"""GDRT: its closed form by hand, its limits, its references, and what it does for a neglected group."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError
from llmrec.objectives.base import Sums, TokenLoss
from llmrec.objectives.batch import Batch
from llmrec.objectives.gdrt import GDRT
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.sft import SFT
from llmrec.settings.objects import build
from llmrec.training.preparation import RunPreparation
from tests.datasets.layouts import rows
from tests.invariants.world import (
    ROWS,
    World,
    assert_same_step,
    build_world,
    micro_batches,
    random_backbone,
    take_step,
)
from tests.objectives.given import no_model, no_titles
from tests.settings.refusal import refusal

ALL = list(range(len(ROWS)))


def closed(objective: GDRT, losses: Sequence[float], tokens: Sequence[int]) -> GDRT:
    """Returns the objective after a step with the given mean losses and token counts of the groups."""
    count = torch.tensor(tokens, dtype=torch.float64)
    objective.close_step({"group_losses": torch.tensor(losses, dtype=torch.float64) * count, "group_tokens": count})
    return objective


def weights(objective: GDRT, tokens: Sequence[int]) -> list[float]:
    """Returns q of the next step for the given token counts of the groups."""
    return objective.group_weights(torch.tensor(tokens, dtype=torch.float64)).tolist()


def applied(objective: GDRT) -> list[float]:
    """Returns the logged q of the last step."""
    return [value for name, value in objective.monitors().items() if name.startswith("group_weight/")]


def test_weights_of_two_groups() -> None:
    objective = closed(GDRT(SFT(), group_count=2, temperature=1.0), losses=[1, 2], tokens=[1, 1])
    # p = 3/4, 1/4: q is proportional to 3/4 e and 1/4 e^2.
    assert weights(objective, [3, 1]) == pytest.approx([3 / (3 + math.e), math.e / (3 + math.e)])
    assert objective.monitors()["group_loss/01"] == pytest.approx(2)


def test_a_uniform_prior_counts_every_group_that_occurs_once() -> None:
    objective = closed(GDRT(SFT(), group_count=3, temperature=2.0, prior="uniform"), losses=[1, 2, 9], tokens=[1, 1, 1])
    expected = [1 / (1 + math.exp(0.5)), math.exp(0.5) / (1 + math.exp(0.5)), 0]
    assert weights(objective, [3, 1, 0]) == pytest.approx(expected)


def test_an_absent_group_has_no_weight_and_keeps_its_loss() -> None:
    objective = closed(GDRT(SFT(), group_count=2, temperature=1.0), losses=[1, 3], tokens=[1, 1])
    closed(objective, losses=[2, 0], tokens=[1, 0])
    assert weights(objective, [1, 0]) == [1, 0]
    assert weights(objective, [1, 1]) == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])
    assert objective.monitors()["group_loss/01"] == pytest.approx(3)


def test_ema_keeps_a_part_of_the_older_losses_but_not_of_the_start() -> None:
    objective = closed(GDRT(SFT(), group_count=1, ema=0.9), losses=[5], tokens=[4])
    assert objective.monitors()["group_loss/00"] == pytest.approx(5)
    closed(objective, losses=[1], tokens=[4])
    assert objective.monitors()["group_loss/00"] == pytest.approx(0.9 * 5 + 0.1 * 1)


def test_a_group_that_no_step_has_shown_is_taken_for_an_average_one(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2", "objective.temperature=0.1"), tmp_path)
    closed(world.objective, losses=[4, 0], tokens=[5, 0])
    plain = build_world(("sft",), tmp_path)
    assert take_step(world, micro_batches(world, ALL)).loss == pytest.approx(
        take_step(plain, micro_batches(plain, ALL)).loss, rel=1e-5
    )


UNDERNEATH = [("sft",), ("msl",), ("msl", "objective.temperature=4.5", "objective.reduction=response")]


def over(underneath: Sequence[str], *changes: str) -> tuple[str, ...]:
    """Returns overrides for GDRT over a token loss, whose settings are moved to objective.token_loss."""
    name, *settings = underneath
    nested = [setting.replace("objective.", "objective.token_loss.") for setting in settings]
    return ("gdrt", f"objective/token_loss={name}", *nested, *changes)


@pytest.mark.parametrize("underneath", UNDERNEATH, ids=" ".join)
@pytest.mark.parametrize("change", ["objective.temperature=1e9", "objective.group_count=1"])
def test_limits_are_the_token_loss_underneath(underneath: Sequence[str], change: str, tmp_path: Path) -> None:
    case = over(underneath, "objective.group_count=3", change)
    plain, robust = build_world(underneath, tmp_path), build_world(case, tmp_path)
    # The weights of the second step are computed from the losses of the first.
    for part in (ALL, ALL[:5]):
        one, other = (take_step(world, micro_batches(world, part)) for world in (plain, robust))
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        largest = max(float(gradient.abs().max()) for gradient in one.gradients.values())
        for name, gradient in one.gradients.items():
            torch.testing.assert_close(other.gradients[name], gradient, atol=2e-5 * largest, rtol=0, msg=name)


def test_a_small_temperature_leaves_the_worst_group_alone(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=3", "objective.temperature=1e-3"), tmp_path)
    take_step(world, micro_batches(world, ALL))
    losses = world.objective.group_loss.clone()
    second = take_step(world, micro_batches(world, ALL))
    # The model has not changed, so the second step has the same losses as the first.
    assert second.loss == pytest.approx(float(losses.max()), rel=1e-5)
    assert applied(world.objective)[int(losses.argmax())] == pytest.approx(1)


def test_the_same_step_has_the_gradient_of_the_closed_form(tmp_path: Path) -> None:
    case = ("gdrt", "objective.group_count=3", "objective.temperature=0.7", "objective.statistics=same_step")
    world = build_world(case, tmp_path)
    (batch,) = micro_batches(world, ALL)
    losses, _ = world.objective.token_loss.token_losses(world.backbone.encode(batch.packed, batch.state_index), batch)
    group = world.objective._group(batch)
    means = torch.stack([losses[group == number].mean() for number in range(3)])
    share = torch.bincount(group, minlength=3) / len(group)
    robust = 0.7 * torch.log((share * torch.exp(means / 0.7)).sum())
    robust.backward()
    by_hand = {name: weight.grad.clone() for name, weight in world.backbone.named_parameters()}
    world.backbone.zero_grad()
    step = take_step(world, [batch])
    for name, gradient in by_hand.items():
        torch.testing.assert_close(step.gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    assert applied(world.objective) == pytest.approx(torch.softmax(share.log() + means / 0.7, 0).tolist(), rel=1e-5)


def test_the_next_step_of_previous_step_is_that_of_the_same_step_while_nothing_moves(tmp_path: Path) -> None:
    before, same = (
        build_world(("gdrt", "objective.group_count=3", "objective.temperature=1", *more), tmp_path)
        for more in ((), ("objective.statistics=same_step",))
    )
    take_step(before, micro_batches(before, ALL))
    assert_same_step(take_step(before, micro_batches(before, ALL)), take_step(same, micro_batches(same, ALL)))


def test_inverse_relevance_weighs_a_group_by_what_the_record_says_of_it(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2", "objective.weights=inverse_relevance"), tmp_path)
    take_step(world, micro_batches(world, ALL))
    groups = world.objective.report()["groups"]
    mass = [entry["tokens"] / entry["mean_relevance"] for entry in groups]
    assert applied(world.objective) == pytest.approx([part / sum(mass) for part in mass])


def prepared(world: World, tmp_path: Path, stage: Path | None, opened: Backbone) -> None:
    world.objective.prepare(
        RunPreparation(world.backbone, world.data.trie, world.data, tmp_path, stage, 1, lambda: opened, no_titles)
    )


def moved_backbone() -> Backbone:
    """Returns a backbone with other weights than `random_backbone`."""
    backbone = random_backbone()
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)))
    return backbone


def test_the_base_is_the_backbone_before_its_stage(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2"), tmp_path)
    base = world.objective.report()
    world.backbone.load_state_dict(moved_backbone().state_dict())
    prepared(world, tmp_path, tmp_path / "stage", random_backbone())
    assert world.objective.report() == base
    world.objective.reference = "sft"
    prepared(world, tmp_path, tmp_path / "stage", random_backbone())
    assert world.objective.report() != base


def test_the_base_of_an_adapter_is_the_model_without_it(tmp_path: Path) -> None:
    base = build_world(("gdrt", "objective.group_count=2"), tmp_path).objective.report()
    adapted = build_world(("gdrt", "objective.group_count=2"), tmp_path, lora=True)
    groups, expected = adapted.objective.report()["groups"], base["groups"]
    assert [entry["mean_relevance"] for entry in groups] == pytest.approx([e["mean_relevance"] for e in expected])
    # The adapter is trained on afterwards.
    assert take_step(adapted, micro_batches(adapted, ALL)).gradients


def test_sft_as_a_reference_needs_a_stage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Add stage=sft"):
        build_world(("gdrt", "objective.group_count=2", "objective.reference=sft"), tmp_path)


def test_the_current_reference_is_looked_at_again_before_each_epoch(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2", "objective.reference=current"), tmp_path)
    first = world.objective.report()
    world.backbone.load_state_dict(moved_backbone().state_dict())
    world.objective.start_epoch(0)
    assert world.objective.report() == first
    world.objective.start_epoch(1)
    assert world.objective.report() != first
    assert not (tmp_path / "relevance").exists()


def test_the_base_stays_what_it_was_in_later_epochs(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2"), tmp_path)
    first = world.objective.report()
    world.backbone.load_state_dict(moved_backbone().state_dict())
    world.objective.start_epoch(1)
    assert world.objective.report() == first


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"groups": "title"}, "relevance, random, position"),
        ({"reference": "dpo"}, "base, sft, current"),
        ({"prior": "even"}, "share, uniform"),
        ({"statistics": "next"}, "previous_step, same_step"),
        ({"weights": "best"}, "worst_case, inverse_relevance"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"group_count": 0}, "group_count"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, says: str) -> None:
    assert says in refusal(GDRT, settings, "objective")


def test_what_is_no_token_loss_is_refused() -> None:
    target = "llmrec.objectives.gdrt.GDRT"
    with pytest.raises(InputError, match="give a TokenLoss, named by _target_"):
        build({"_target_": target, "token_loss": {"_target_": target, "token_loss": {}}}, "objective")


class Summed(TokenLoss):
    """Returns one loss per row instead of one per token, which is invalid."""

    supervises: ClassVar = "response"

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        return encoded.logits()[: len(batch.example), 0], {}


def test_a_token_loss_of_the_wrong_shape_is_named(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2"), tmp_path)
    world.objective.token_loss = Summed()
    with pytest.raises(
        InputError, match=r"Summed\.token_losses returned losses of shape \[8\] for \d+ supervised tokens"
    ):
        take_step(world, micro_batches(world, ALL))


class Recording(SFT):
    """SFT that records its calls and adds an entry to monitors and report."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def prepare(self, preparation: Preparation) -> None:
        self.calls.append("prepare")

    def start_epoch(self, epoch: int) -> None:
        self.calls.append(f"epoch {epoch}")

    def close_step(self, statistics: Sums) -> None:
        self.calls.append("step")

    def monitors(self) -> dict[str, float]:
        return {"own": 1.0}

    def report(self) -> dict[str, str]:
        return {"own": "entry"}


def test_everything_is_passed_on_to_the_token_loss(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2"), tmp_path)
    world.objective.token_loss = recording = Recording()
    prepared(world, tmp_path, None, random_backbone())
    world.objective.start_epoch(0)
    take_step(world, micro_batches(world, ALL))
    assert recording.calls == ["prepare", "epoch 0", "step"]
    assert world.objective.monitors()["own"] == 1.0
    assert world.objective.report()["own"] == "entry"


def test_the_first_step_is_logged_with_the_weights_that_it_had(tmp_path: Path) -> None:
    world = build_world(("gdrt", "objective.group_count=2", "objective.temperature=0.1"), tmp_path)
    take_step(world, micro_batches(world, ALL))
    sizes = [entry["tokens"] for entry in world.objective.report()["groups"]]
    assert applied(world.objective) == pytest.approx([size / sum(sizes) for size in sizes])


def test_more_groups_than_relevances_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"group_count=500.*different values of relevance"):
        build_world(("gdrt", "objective.group_count=500"), tmp_path)


CROWD, FEW = 1, 9
"""Titles "Anno 1800" and "Fez"."""
TOY = rows(*[(f"u{row}", [4], FEW if row % 5 == 0 else CROWD, row) for row in range(30)])
"""All histories are equal; four users in five continue with one title, the fifth with another."""
MSL = ("msl", "objective.temperature=1")


def title_loss(world: World, target: int) -> float:
    """Returns -log P(title), over valid tokens, after the only history of the data."""
    (batch,) = micro_batches(world, np.flatnonzero(TOY.target == target)[:1])
    loss = world.objective.token_loss if isinstance(world.objective, GDRT) else world.objective
    with torch.no_grad():
        return float(loss.token_losses(world.backbone.encode(batch.packed, batch.state_index), batch)[0].sum())


def tuned(case: Sequence[str], sample: Rows, start: Backbone, tmp_path: Path, steps: int) -> World:
    """Returns the world after some steps over the whole sample, starting from a copy of the initial weights."""
    world = build_world(case, tmp_path, sample=sample)
    world.backbone.load_state_dict(start.state_dict())
    world.objective.prepare(
        RunPreparation(world.backbone, world.data.trie, world.data, tmp_path, None, 1, no_model, no_titles)
    )
    optimizer = torch.optim.AdamW(world.backbone.parameters(), lr=3e-3, weight_decay=0.0)
    batch = world.data.batch(np.arange(len(sample)))
    totals = world.objective.totals(batch)
    for _ in range(steps):
        part = world.objective(world.backbone.encode(batch.packed, batch.state_index), batch, totals)
        part.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        world.objective.close_step(dict(part.statistics))
    return world


@pytest.mark.slow
def test_a_group_that_the_plain_loss_neglects_is_served(tmp_path: Path) -> None:
    # For a base model trained on the majority, the rare title is unlikely with any history, so it is a separate group.
    crowd = TOY.take(TOY.target == CROWD)
    base = tuned(MSL, crowd, random_backbone(), tmp_path, steps=20).backbone
    plain = tuned(MSL, TOY, base, tmp_path, steps=100)
    robust = tuned(over(MSL, "objective.group_count=3", "objective.temperature=0.3"), TOY, base, tmp_path, steps=100)
    assert robust.objective.report()["groups"][0]["tokens"] == (TOY.target == FEW).sum()
    # The plain loss converges to the frequencies 1/5 and 4/5.
    assert title_loss(plain, FEW) == pytest.approx(math.log(5), abs=0.05)
    assert title_loss(robust, FEW) < 1.1 < math.log(5)
    # The majority's loss rises, but stays below half of what the minority's loss was.
    assert math.log(5 / 4) < title_loss(robust, CROWD) < 0.8
