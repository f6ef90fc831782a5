"""Planted faults: each moves a golden value of the component that has it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from llmrec.catalogue.items import Items
from llmrec.objectives.msl import MSL
from llmrec.prompts.template import Template
from llmrec.training import module, sharded
from tests.golden.cases import RUNS
from tests.golden.direct import COMPONENTS
from tests.golden.stored import differences, read_stored
from tests.golden.values import Golden
from tests.tiers import rest_slow

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """Golden runs that no other test shares."""
    return Golden(tmp_path_factory.mktemp("golden"))


def clipping_times_100(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = sharded.clip_gradients
    monkeypatch.setattr(module, "clip_gradients", lambda weights, max_norm, norm: clip(weights, 100 * max_norm, norm))


def adamw_steps_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    step = torch.optim.AdamW.step

    def twice(optimizer: torch.optim.AdamW, closure: Any = None) -> Any:
        step(optimizer, closure)
        return step(optimizer, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", twice)


def temperature_off_by_one_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = MSL.token_losses

    def off(objective: MSL, *arguments: Any) -> tuple[Tensor, Any]:
        exact = objective.tau.clone()
        objective.tau.mul_(1.01)
        found = losses(objective, *arguments)
        objective.tau.copy_(exact)
        return found

    monkeypatch.setattr(MSL, "token_losses", off)


def one_more_space(monkeypatch: pytest.MonkeyPatch) -> None:
    render = Template.render
    monkeypatch.setattr(Template, "render", lambda template, values: render(template, values).replace(":\n", ": \n", 1))


def titles_in_upper_case(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Items.__init__

    def upper(items: Items, ids: list[str], titles: list[str], *others: Any, **named: Any) -> None:
        create(items, ids, [title.upper() for title in titles], *others, **named)

    monkeypatch.setattr(Items, "__init__", upper)


@pytest.mark.parametrize(
    ("component", "case", "plant"),
    rest_slow(
        [
            ("training", "some steps clipped", clipping_times_100),
            ("training", "full", adamw_steps_twice),
            ("objectives.msl", "adaptive temperature", temperature_off_by_one_percent),
            ("objectives.msl", "fixed temperature, all response tokens", temperature_off_by_one_percent),
        ]
    ),
)
def test_a_fault_in_a_run_moves_its_values(
    component: str, case: str, plant: Plant, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read_stored(component)
    assert stored is not None
    golden.run_values(RUNS["objectives.sft"]["sft"])  # the untuned model and its caches, without the fault
    plant(monkeypatch)
    assert differences(stored[case], golden.run_values(RUNS[component][case]))


@pytest.mark.parametrize(
    ("component", "plant"),
    [
        ("prompts", one_more_space),
        *((f"datasets.readers.{name}", titles_in_upper_case) for name in ("generic", "movielens", "msl")),
    ],
)
def test_a_fault_in_data_or_prompts_moves_their_values(
    component: str, plant: Plant, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = partial(COMPONENTS[component], golden.root, golden.filled)
    stored = read_stored(component)
    assert not differences(stored, compute())
    plant(monkeypatch)
    assert differences(stored, compute())


def test_differences_are_named() -> None:
    old = {"loss": [1.0, 2.0], "ranked": ["a", "b"], "gone": 1, "users": None}
    new = {"loss": [1.0 + 5e-5, 2.0 + 5e-4], "ranked": ["b", "a"], "users": None, "more": 2}
    assert [difference.name for difference in differences(old, new)] == [
        "loss / 1", "ranked / 0", "ranked / 1", "gone", "more",
    ]  # fmt: skip


def test_weights_have_a_larger_tolerance() -> None:
    assert not differences({"weights": {"a": [1.0]}}, {"weights": {"a": [1.004]}})
    assert differences({"weights": {"a": [1.0]}}, {"weights": {"a": [1.006]}})


def test_the_sign_of_rounding_is_not_compared() -> None:
    def curves(preferred: float, margin: float) -> dict[str, list[float]]:
        return {"train/preferred": [preferred], "train/margin": [margin]}

    assert not differences(curves(0.0, 0.0), curves(0.5, 1e-7))
    assert [each.name for each in differences(curves(0.4, 0.1), curves(0.5, 0.1))] == ["train/preferred / 0"]
    assert len(differences(curves(0.0, 0.0), curves(0.5, 0.1))) == 2


def test_numbers_that_are_not_there_differ_from_zero() -> None:
    assert differences({"loss": [0.0]}, {"loss": []})
    assert differences({"loss": 0.0}, {"loss": None})
    assert differences({"loss": 0.0}, {"loss": float("nan")})
