"""DPO, cDPO, S-DPO and RosePO: golden values, the frozen reference, branches against full sequences, noisy pairs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from llmrec.backbones.backbone import Backbone
from llmrec.errors import InputError
from llmrec.objectives.cdpo import CDPO
from llmrec.objectives.dmpo import DMPO
from llmrec.objectives.dpo import DPO
from llmrec.objectives.preference import Pairwise, Preference, smoothed_loss
from llmrec.objectives.rejected.popularity import Popularity
from llmrec.objectives.sdpo import SDPO
from llmrec.objectives.simpo import SimPO
from tests.code_changes import edit
from tests.invariants.world import ROWS, World, build_world, micro_batches, take_step
from tests.settings.refusal import refusal

PREFERENCES = [("dpo",), ("cdpo",), ("sdpo",), ("rosepo",)]
ALL = list(range(len(ROWS)))


@pytest.mark.parametrize(
    ("u", "eps", "loss", "slope"),
    [
        (0.7, 0.2, 0.543186, -0.131812),
        (0.7, 0.0, 0.403186, -0.331812),
        (-0.7, 0.2, 0.963186, -0.468188),
        (2.0, 0.4, 0.926928, 0.280797),
    ],
)
def test_golden_values_of_the_smoothed_loss(u: float, eps: float, loss: float, slope: float) -> None:
    at = torch.tensor(u, dtype=torch.float64, requires_grad=True)
    value = smoothed_loss(at, eps)
    value.backward()
    assert value.item() == pytest.approx(loss, abs=1e-6)
    assert at.grad is not None
    assert at.grad.item() == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("eps", [0.05, 0.2, 0.4])
def test_smoothed_loss_is_least_where_the_odds_are_right(eps: float) -> None:
    best = torch.tensor(np.log((1 - eps) / eps), requires_grad=True)
    smoothed_loss(best, eps).backward()
    assert best.grad is not None
    assert best.grad.item() == pytest.approx(0, abs=1e-6)


def test_smoothing_is_the_blend_of_both_orders() -> None:
    u = torch.linspace(-3, 3, 13, dtype=torch.float64)
    eps = torch.linspace(0, 0.9, 13, dtype=torch.float64)
    blend = -(1 - eps) * functional.logsigmoid(u) - eps * functional.logsigmoid(-u)
    torch.testing.assert_close(smoothed_loss(u, eps), blend)


@pytest.mark.parametrize(("others", "loss"), [((-0.1, 0.2, -0.5), 1.106741), ((-0.1,), 0.513015)])
def test_golden_values_of_sdpo(others: tuple[float, ...], loss: float) -> None:
    rewards = torch.tensor([[0.3, *others]], dtype=torch.float64)
    found = SDPO(Popularity(), negatives=len(others)).losses(rewards, torch.zeros(1))
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_golden_value_of_dmpo() -> None:
    # The mean of the rejected rewards is -.4 / 3.
    rewards = torch.tensor([[0.3, -0.1, 0.2, -0.5]], dtype=torch.float64)
    assert DMPO(Popularity()).losses(rewards, torch.zeros(1)).item() == pytest.approx(0.499771, abs=1e-6)


def test_golden_value_of_simpo() -> None:
    objective = SimPO(Popularity(), beta=2.0, gamma=1.0)
    objective.lengths = torch.tensor([[4, 5]])
    # -1.8 over 4 tokens and -3 over 5: u = 2 * (-.45 + .6) - 1 = -.7.
    rewards = objective.rewards(torch.tensor([[-1.8, -3.0]], dtype=torch.float64), torch.tensor([0]))
    assert objective.losses(rewards, torch.tensor([0])).item() == pytest.approx(1.103186, abs=1e-6)


def test_simpo_counts_all_tokens_of_a_title(tmp_path: Path) -> None:
    world = build_world(("simpo", "objective.scores=trie"), tmp_path)
    titles, objective = world.data.titles, world.objective
    for row, (target, rejected) in enumerate(zip(world.data.sample_titles, objective.titles[:, 0], strict=True)):
        assert objective.lengths[row].tolist() == [len(titles.of(target)), len(titles.of(rejected))]


def test_sdpo_with_one_negative_is_dpo() -> None:
    rewards = torch.randn((5, 2), generator=torch.Generator().manual_seed(0))
    dpo = DPO(Popularity())
    dpo.reference = torch.zeros(1)
    one = SDPO(Popularity(), negatives=1).losses(rewards, torch.arange(5))
    torch.testing.assert_close(one, dpo.losses(rewards, torch.arange(5)))


def test_cdpo_without_smoothing_is_dpo() -> None:
    rewards = torch.randn((5, 2), generator=torch.Generator().manual_seed(0))
    dpo, cdpo = DPO(Popularity()), CDPO(Popularity(), smoothing=0.0)
    dpo.reference = cdpo.reference = torch.zeros(1)
    assert torch.equal(dpo.losses(rewards, torch.arange(5)), cdpo.losses(rewards, torch.arange(5)))


@pytest.mark.parametrize("case", PREFERENCES, ids=" ".join)
def test_the_start_is_the_logarithm_of_the_number_of_titles(case: tuple[str, ...], tmp_path: Path) -> None:
    world = build_world(case, tmp_path)
    objective = preference_of(world)
    step = take_step(world, micro_batches(world, ALL))
    assert step.loss == pytest.approx(np.log(1 + objective.negatives), abs=1e-5)
    assert objective.monitors()["margin"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("case", [("dpo",), ("sdpo", "objective.negatives=2"), ("rosepo",)], ids=" ".join)
def test_branches_have_the_loss_and_gradients_of_full_sequences(case: tuple[str, ...], tmp_path: Path) -> None:
    """Compares with the model's own forward pass over one sequence per title and explicitly computed losses."""
    world = moved(build_world(case, tmp_path))
    step = take_step(world, micro_batches(world, ALL))
    loss = written_out(world)
    loss.backward()
    assert step.loss == pytest.approx(loss.item(), rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in step.gradients.values())
    for name, weight in world.backbone.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(step.gradients[name], weight.grad, atol=1e-5 * largest, rtol=0, msg=name)


@pytest.mark.parametrize("case", PREFERENCES, ids=" ".join)
def test_the_reference_is_the_model_that_training_starts_from(case: tuple[str, ...], tmp_path: Path) -> None:
    world = build_world(case, tmp_path)
    objective = preference_of(world)
    for row in ALL:
        for branch, title in enumerate([world.data.sample_titles[row], *objective.titles[row]]):
            expected = title_log_probability(world.backbone, *tokens_of(world, row, title))
            assert objective.reference[row, branch].item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_reference_is_read_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = preference_of(build_world(("dpo",), tmp_path)).reference

    def run(*_: object) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(Preference, "_score", run)
    assert torch.equal(preference_of(build_world(("dpo",), tmp_path)).reference, first)


def test_other_weights_have_a_reference_of_their_own(tmp_path: Path) -> None:
    world = build_world(("dpo",), tmp_path)
    with torch.no_grad():
        next(world.backbone.parameters())[0, 0] += 1e-3
    prepare_again(world, tmp_path)
    assert len(list((tmp_path / "reference").iterdir())) == 2


def test_a_stale_reference_is_refused(tmp_path: Path) -> None:
    world = build_world(("dpo",), tmp_path / "one")
    build_world(("dpo", "objective.scores=trie"), tmp_path / "other")
    (mine,), (theirs,) = (list((tmp_path / name / "reference").iterdir()) for name in ("one", "other"))
    mine.write_bytes(theirs.read_bytes())
    shutil.rmtree(tmp_path / "one" / "checksums")
    with pytest.raises(InputError, match=rf"reference cache .*{mine.name} is of other weights.*delete it"):
        prepare_again(world, tmp_path / "one")


def test_dropout_is_off_in_the_reference_and_on_again_after_it(tmp_path: Path) -> None:
    """Compares with the same adapter without dropout."""
    expected = preference_of(build_world(("dpo",), tmp_path / "without", lora=True)).reference
    world = build_world(("dpo",), tmp_path / "with", lora=True)
    layers = [module for name, module in world.backbone.named_modules() if name.endswith("lora_dropout")]
    for layer in layers:
        layer["default"] = torch.nn.Dropout(0.5)
    world.backbone.train()
    prepare_again(world, tmp_path / "again")
    torch.testing.assert_close(preference_of(world).reference, expected, atol=1e-5, rtol=0)
    assert layers
    assert world.backbone.training


def test_another_precision_has_a_reference_of_its_own(tmp_path: Path) -> None:
    world = build_world(("dpo", "objective/rejected=self_hard"), tmp_path)
    exact = preference_of(world).reference
    world.backbone.autocast_dtype = torch.bfloat16
    world.objective.prepare(world.preparation)
    assert all(len(list((tmp_path / name).iterdir())) == 2 for name in ("reference", "self_hard"))
    assert 0 < (preference_of(world).reference - exact).abs().max() < 1
    # Under the reference, all rewards are 0 at the first step.
    (batch,) = micro_batches(world, ALL)
    with torch.no_grad():
        found = preference_of(world).log_probabilities(world.backbone.encode(batch.packed, batch.state_index), batch)
    torch.testing.assert_close(found, preference_of(world).reference, atol=0.1, rtol=0)


def test_other_code_makes_the_reference_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = build_world(("dpo",), tmp_path)
    edit(monkeypatch, "objectives/preference.py")
    prepare_again(world, tmp_path)
    assert len(list((tmp_path / "reference").iterdir())) == 2


def test_no_second_model_is_opened(tmp_path: Path) -> None:
    def refuse() -> Backbone:
        raise AssertionError("a second model was opened")

    world = build_world(("rosepo",), tmp_path)
    world.objective.prepare(replace(world.preparation, open_base=refuse, cache_dir=tmp_path / "empty"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"beta": 0}, "objective.beta"),
        ({"learning_rate_factor": 0}, "learning_rate_factor"),
        ({"max_epochs": 0}, "objective.max_epochs=0"),
        ({"scores": "words"}, "choose one of vocab, trie"),
        ({"rejected": None}, "objective.rejected=null: give a Rejected, named by _target_"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, object], says: str) -> None:
    assert says in refusal(DPO, settings, "objective")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.2])
def test_smoothing_is_a_probability(smoothing: float) -> None:
    assert "give a number from 0 to below 1" in refusal(CDPO, {"smoothing": smoothing}, "objective")


def preference_of(world: World) -> Preference:
    """Returns the world's objective."""
    assert isinstance(world.objective, Preference)
    return world.objective


def prepare_again(world: World, cache: Path) -> None:
    """Prepares the objective as at the start of another run."""
    world.objective.prepare(replace(world.preparation, cache_dir=cache))


def moved(world: World) -> World:
    """Returns the world after some training, so that its weights differ from the reference's."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in world.backbone.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)
    return world


def tokens_of(world: World, row: int, title: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns prompt and title of a row."""
    return world.data.sample.prompts.of(row), world.data.titles.of(title)


def title_log_probability(backbone: Backbone, prompt: np.ndarray, title: np.ndarray) -> Tensor:
    """Returns log P(title | prompt) by the model's own forward pass."""
    tokens = torch.from_numpy(np.concatenate([prompt, title]).astype(np.int64))
    logits = backbone.model(input_ids=tokens[None]).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, tokens[len(prompt) :, None]).sum()


def written_out(world: World) -> Tensor:
    """Returns the mean loss over all rows, with one sequence per title."""
    objective, losses = preference_of(world), []
    for row in ALL:
        titles = [world.data.sample_titles[row], *objective.titles[row]]
        found = torch.stack([title_log_probability(world.backbone, *tokens_of(world, row, title)) for title in titles])
        reward = objective.beta * (found - objective.reference[row])
        if isinstance(objective, Pairwise):
            u, eps = reward[0] - reward[1], objective.smoothing(torch.tensor(row))
            losses.append(-(1 - eps) * torch.log(torch.sigmoid(u)) - eps * torch.log(torch.sigmoid(-u)))
        else:
            losses.append(-torch.log(torch.sigmoid(-torch.log(torch.exp(reward[1:] - reward[0]).sum()))))
    return torch.stack(losses).mean()
