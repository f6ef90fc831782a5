"""ALRO: golden values of its two losses, which way they push, what they ignore, branches against full sequences.

And MSL on a ranking, whose valid tokens are the identifiers left.
"""

from itertools import pairwise
from math import log, log2
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from llmrec.objectives.alro import ALRO, permutation_sensitive_loss, soft_lambda_loss, soft_positions
from llmrec.objectives.batch import Batch
from tests.examples.orders import positions
from tests.invariants.world import ROWS, World, assert_same_step, build_world, micro_batches, take_step
from tests.objectives.given import given
from tests.settings.refusal import refusal

ALL = list(range(len(ROWS)))
IN_ORDER = torch.tensor([[0, 1, 2]])
GAINS = torch.tensor([[31.0, 7.0, 1.0]], dtype=torch.float64)
"""The gains of ratings 5, 3, 1."""
PERFECT = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
UNIFORM = [[1 / 3] * 3] * 3
P, Q = [0.7, 0.2, 0.1], [0.5, 0.3, 0.2]


def sll(emitted: Tensor, target: Tensor, gains: Tensor, gamma: float = 5.0, normalise: bool = True) -> Tensor:
    """SLL, float64 [rows], from the probability that a slot (second axis) contains a candidate (third axis)."""
    return soft_lambda_loss(soft_positions(emitted, gamma), target, gains, sigma=1.0, normalise=normalise)


def doubles(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_lists(lists: int, candidates: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random emitted probabilities, target orders and gains of ratings 1 to 5, not all equal within a list."""
    generator = torch.Generator().manual_seed(seed)
    emitted = torch.randn((lists, candidates, candidates), generator=generator, dtype=torch.float64).softmax(2)
    rating = torch.randint(1, 5, (lists, candidates), generator=generator)
    rating[:, 0] = 5
    return emitted, rating.argsort(1, descending=True), 2.0 ** rating.double() - 1


def test_soft_positions_are_positions() -> None:
    assert soft_positions(doubles(PERFECT), 5.0).tolist()[0] == pytest.approx([1.0854, 2, 2.9146], abs=1e-4)
    assert soft_positions(doubles(UNIFORM), 5.0).tolist()[0] == pytest.approx([2, 2, 2])
    # Of ten candidates, each named in its slot and nowhere else, gamma 1 keeps 15 % of the spread of 9.
    first, last = soft_positions(torch.eye(10, dtype=torch.float64)[None], 1.0)[0, [0, -1]].tolist()
    assert (last - first) / 9 == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize(
    ("emitted", "gamma", "normalised", "raw"),
    [
        (PERFECT, 5.0, 0.173356, 6.226324),
        (PERFECT, 10.0, 0.159778, 5.738650),
        (UNIFORM, 5.0, 0.417635, 15.0),
        (PERFECT[::-1], 5.0, 0.868698, 31.200581),
    ],
    ids=["perfect", "perfect-sharp", "uniform", "reversed"],
)
def test_golden_values_of_the_soft_lambda_loss(
    emitted: list[list[float]], gamma: float, normalised: float, raw: float
) -> None:
    for normalise, expected in ((True, normalised), (False, raw)):
        found = sll(doubles(emitted), IN_ORDER, GAINS, gamma, normalise)
        assert found.tolist() == pytest.approx([expected], abs=1e-6)


def test_mixed_precision_does_not_round_the_soft_lambda_loss() -> None:
    emitted, target, gains = (part.float() if part.is_floating_point() else part for part in random_lists(4, 10))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sll(emitted, target, gains)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, sll(emitted, target, gains))


def test_golden_values_of_the_permutation_sensitive_loss() -> None:
    p, q = doubles([P]), doubles([Q])
    divergence = permutation_sensitive_loss(p.log(), q.log()).item()
    assert divergence == pytest.approx(0.085123, abs=1e-6)
    # The entropy of p is left out of the cross-entropy; it is constant because p is detached.
    assert divergence - sum(part * log(part) for part in P) == pytest.approx(0.886941, abs=1e-6)


def test_the_permutation_sensitive_loss_has_the_gradient_of_the_cross_entropy() -> None:
    p, other = doubles(P), doubles(Q).log().requires_grad_()
    permutation_sensitive_loss(p.log()[None], other[None]).sum().backward()
    expected = other.detach().clone().requires_grad_()
    functional.cross_entropy(expected, p).backward()
    torch.testing.assert_close(other.grad, expected.grad)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_better_order_has_the_lower_loss(normalise: bool) -> None:
    _, target, gains = random_lists(50, 6)
    # Slot k names the k-th of the target order with .75, each other candidate with .05.
    perfect = 0.05 + 0.7 * functional.one_hot(target, 6).double()
    best, chance, worst = (
        sll(emitted, target, gains, normalise=normalise)
        for emitted in (perfect, torch.full_like(perfect, 1 / 6), perfect.flip(1))
    )
    assert (best < chance).all()
    assert (chance < worst).all()


def test_naming_the_best_candidate_earlier_lowers_the_loss_and_the_worst_raises_it() -> None:
    emitted, target, gains = random_lists(50, 5)
    for place, sign in ((0, -1), (-1, 1)):
        moved = emitted.clone()
        moved[torch.arange(50), 0, target[:, place]] += 1e-4
        change = sll(moved, target, gains) - sll(emitted, target, gains)
        assert (sign * change > 0).all()


def test_its_gradient_is_that_of_finite_differences() -> None:
    emitted, target, gains = random_lists(3, 4)
    assert torch.autograd.gradcheck(lambda y: sll(y, target, gains), emitted.requires_grad_())


def test_equal_ratings_leave_nothing_to_order() -> None:
    emitted, target, gains = random_lists(5, 4)
    emitted.requires_grad_()
    loss = sll(emitted, target, torch.full_like(gains, 7.0))
    loss.sum().backward()
    assert not loss.any()
    assert emitted.grad is not None
    assert not emitted.grad.any()


def test_the_numbers_of_the_candidates_change_nothing() -> None:
    emitted, target, gains = random_lists(20, 6)
    number = torch.from_numpy(np.random.default_rng(3).permutation(6))
    renumbered, new_gains = torch.empty_like(emitted), torch.empty_like(gains)
    renumbered[:, :, number], new_gains[:, number] = emitted, gains
    torch.testing.assert_close(sll(renumbered, number[target], new_gains), sll(emitted, target, gains))
    other = emitted.flip(0)
    torch.testing.assert_close(
        permutation_sensitive_loss(emitted[:, :, number], other[:, :, number]),
        permutation_sensitive_loss(emitted, other),
    )


def test_the_order_of_equal_ratings_counts_as_far_as_their_positions_differ() -> None:
    """A tied pair has weight 0, but its target ranks, in the shuffled order, still affect the other pairs."""
    position, gains = doubles([1.0, 1.6, 2.9, 2.5]), doubles([31, 7, 7, 1])
    one, other = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 2, 1, 3]])

    def loss(position: Tensor, target: Tensor) -> float:
        return soft_lambda_loss(position, target, gains, sigma=1.0, normalise=True).item()

    assert loss(position, other) != pytest.approx(loss(position, one), rel=1e-3)
    assert loss(position, other) == pytest.approx(loss(position[:, [0, 2, 1, 3]], one))
    alike = doubles([1.0, 2.2, 2.2, 2.5])
    assert loss(alike, other) == pytest.approx(loss(alike, one))


def test_far_positions_do_not_overflow() -> None:
    position, target, gains = torch.tensor([[1e4, 1.0]]), torch.tensor([[0, 1]]), torch.tensor([[3.0, 1.0]])
    found = soft_lambda_loss(position, target, gains, sigma=1.0, normalise=False).item()
    assert found == pytest.approx((1 - 1 / log2(3)) * 2 * 9999 / log(2), rel=1e-5)


def test_without_alpha_and_beta_it_is_sft(tmp_path: Path) -> None:
    plain = build_world(("sft", "task=rerank"), tmp_path)
    ours = build_world(("alro", "objective.alpha=0", "objective.beta=0"), tmp_path)
    expected, found = (take_step(world, micro_batches(world, ALL)) for world in (plain, ours))
    assert_same_step(expected, found)


def test_without_beta_one_order_is_run(tmp_path: Path) -> None:
    (batch,), (two,) = (
        micro_batches(build_world(("alro", *more), tmp_path), ALL) for more in (["objective.beta=0"], [])
    )
    assert batch.packed.is_causal
    assert not batch.branch.any()
    assert batch.packed.tokens.shape[1] < two.packed.tokens.shape[1]


def test_the_stored_order_is_not_pulled_towards_the_other(tmp_path: Path) -> None:
    """PSL has no gradient in the states of the stored order."""
    world = build_world(("alro", "objective.alpha=0", "objective.beta=1"), tmp_path)
    batch = list_batch(world)
    logits = random_logits(batch)
    gradient = gradient_of(world, ALRO(alpha=0, beta=1), batch, logits)
    stored = batch.branch == 0
    torch.testing.assert_close(gradient[stored], gradient_of(world, ALRO(alpha=0, beta=0), batch, logits)[stored])
    assert gradient[~stored].any(1).all()


def test_a_model_that_ignores_the_order_shown_has_no_permutation_sensitive_loss(tmp_path: Path) -> None:
    world = build_world(("alro",), tmp_path)
    batch, identifiers = list_batch(world), torch.from_numpy(world.data.identifier_tokens)
    place = positions(world.data, batch)
    likes = torch.randn((8, 4, 4), generator=torch.Generator().manual_seed(0))
    by_candidate, by_identifier = random_logits(batch), random_logits(batch)
    for position, slot in enumerate(slots_of(batch)):
        if slot < 4:
            row, branch = int(batch.row[position]), int(batch.branch[position])
            # A softmax over the candidates does not change if a constant is added to all logits.
            by_candidate[position, identifiers[place[row, branch]]] = likes[row, slot] + 3.0 * branch
            by_identifier[position, identifiers] = likes[row, slot]
    assert monitored(world, batch, by_candidate)["psl"] == pytest.approx(0, abs=1e-6)
    assert monitored(world, batch, by_identifier)["psl"] > 0.1


def test_the_stored_order_drawn_again_has_no_permutation_sensitive_loss(tmp_path: Path) -> None:
    world = build_world(("alro",), tmp_path)
    while positions(world.data, list_batch(world, [0]))[0, 1].tolist() != [0, 1, 2, 3]:
        world.data.epoch += 1
    take_step(world, micro_batches(world, [0]))
    assert world.objective.monitors()["psl"] == pytest.approx(0, abs=1e-6)
    assert world.objective.monitors()["sll"] > 0.01


@pytest.mark.parametrize("changes", [(), ("objective.normalise=false", "objective.sigma=2", "objective.gamma=5")])
def test_branches_have_the_loss_and_gradients_of_full_sequences(changes: tuple[str, ...], tmp_path: Path) -> None:
    """Compares with the model's own forward pass over each order's full sequence and explicitly computed losses."""
    world = build_world(("alro", "objective.alpha=0.7", "objective.beta=0.3", *changes), tmp_path)
    step = take_step(world, micro_batches(world, ALL))
    loss = written_out(world)
    loss.backward()
    assert step.loss == pytest.approx(loss.item(), rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in step.gradients.values())
    for name, weight in world.backbone.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(step.gradients[name], weight.grad, atol=1e-5 * largest, rtol=0, msg=name)


@pytest.mark.parametrize("reduction", ["branching", "response"])
def test_msl_of_a_ranking_is_its_softmax_over_the_candidates_left(reduction: str, tmp_path: Path) -> None:
    settings = ("objective.temperature=2", f"objective.reduction={reduction}")
    world = build_world(("msl", "task=rerank", *settings), tmp_path)
    batch, objective = list_batch(world), world.objective
    likes = torch.randn((8, 4), generator=torch.Generator().manual_seed(0))
    logits = random_logits(batch)
    logits[:, torch.from_numpy(world.data.identifier_tokens)] = likes[batch.row]
    loss = 0.0
    for row, target in enumerate(world.data.target.tolist()):
        for slot in range(3):
            left = likes[row, target[slot:]] / 2
            loss -= 2 * float(left.log_softmax(0)[0])
    found = objective(given(logits), batch, objective.totals(batch)).loss.item()
    # The fourth candidate and EOS are forced.
    assert found == pytest.approx(loss / (8 * (3 if reduction == "branching" else 5)), rel=1e-5)


def test_another_epoch_draws_other_orders(tmp_path: Path) -> None:
    world = build_world(("alro",), tmp_path)
    first, again = (positions(world.data, list_batch(world)) for _ in range(2))
    world.data.epoch = 1
    later = positions(world.data, list_batch(world))
    assert torch.equal(first, again)
    assert torch.equal(first[:, 0], later[:, 0])
    assert not torch.equal(first[:, 1], later[:, 1])


@pytest.mark.parametrize(
    "settings", [{"alpha": -0.1}, {"beta": -1}, {"sigma": 0}, {"gamma": 0}, {"sigma": float("nan")}], ids=str
)
def test_settings_that_cannot_be_used(settings: dict[str, float]) -> None:
    assert f"objective.{next(iter(settings))}=" in refusal(ALRO, settings, "objective")


def list_batch(world: World, rows: list[int] = ALL) -> Batch:
    """Returns some lists as one micro-batch."""
    (batch,) = micro_batches(world, rows)
    return batch


def random_logits(batch: Batch) -> Tensor:
    """float32 [N, vocabulary]."""
    return torch.randn((len(batch.state_index), 500), generator=torch.Generator().manual_seed(1))


def slots_of(batch: Batch) -> list[int]:
    """Returns the position of each supervised token in its response."""
    of = list(zip(batch.row.tolist(), batch.branch.tolist(), strict=True))
    return [position - of.index(key) for position, key in enumerate(of)]


def monitored(world: World, batch: Batch, logits: Tensor) -> dict[str, float]:
    """Returns the parts of the loss for states with the given logits."""
    objective = ALRO()
    objective.prepare(world.preparation)
    part = objective(given(logits), batch, objective.totals(batch))
    objective.close_step(part.statistics)
    return objective.monitors()


def gradient_of(world: World, objective: ALRO, batch: Batch, logits: Tensor) -> Tensor:
    """Returns the gradient of the loss in the logits."""
    objective.prepare(world.preparation)
    logits = logits.clone().requires_grad_()
    objective(given(logits), batch, objective.totals(batch)).loss.backward()
    assert logits.grad is not None
    return logits.grad


def slot_logits(world: World, prompt: np.ndarray, response: list[int]) -> Tensor:
    """Returns logits [response, vocabulary] of the model's own forward pass over one sequence."""
    sequence = torch.tensor([[*prompt.tolist(), *response]])
    return world.backbone.model(input_ids=sequence).logits[0, len(prompt) - 1 : -1]


def written_out(world: World) -> Tensor:
    """Returns the loss over all lists, with one sequence per order and a loop over pairs."""
    objective, data, eos = world.objective, world.data, world.backbone.tokenizer.eos_token_id
    assert isinstance(objective, ALRO)
    parts: dict[str, list[Tensor]] = {"sft": [], "sll": [], "psl": []}
    for row, place in enumerate(positions(data, list_batch(world)).numpy()):
        ratings, target = data.lists.relevance[row].tolist(), data.target[row].tolist()
        assert all(ratings[a] >= ratings[b] for a, b in pairwise(target))
        by_item = []
        for where in place:
            # The candidate at each position. Its position determines its identifier.
            (prompt,) = data.list_prompts.reordered(np.array([row]), where.argsort()[None])
            token = [int(data.identifiers.tokens[where[item]]) for item in range(4)]
            response = [*(token[item] for item in target), eos]
            logits = slot_logits(world, prompt, response)
            by_item.append((logits, token, response))
        logits, token, response = by_item[0]
        parts["sft"] += [-logits[at].log_softmax(0)[written] for at, written in enumerate(response)]
        emitted = logits[:4].softmax(1)[:, token]
        parts["sll"].append(pairs_written_out(objective, emitted, ratings, target))
        p = logits[:4, token].softmax(1).detach()
        q = by_item[1][0][:4, by_item[1][1]].softmax(1)
        parts["psl"].append((p * (p / q).log()).sum(1).mean())
    means = {name: torch.stack(values).mean() for name, values in parts.items()}
    return means["sft"] + objective.alpha * means["sll"] + objective.beta * means["psl"]


def pairs_written_out(objective: ALRO, emitted: Tensor, ratings: list[float], target: list[int]) -> Tensor:
    """Returns SLL of one list, computed pair by pair."""
    gain = [2**rating - 1 for rating in ratings]
    if objective.normalise:
        best = sum(value / log2(2 + at) for at, value in enumerate(sorted(gain, reverse=True)))
        gain = [value / best for value in gain]
    s = [sum((slot + 1) * weight for slot, weight in enumerate(of.softmax(0))) for of in objective.gamma * emitted.T]
    loss = torch.zeros(())
    for t_i, i in enumerate(target):
        for t_j, j in enumerate(target[:t_i]):
            delta = abs(1 / log2(1 + t_i - t_j) - 1 / log2(2 + t_i - t_j))
            loss = loss + delta * abs(gain[i] - gain[j]) * torch.log2(1 + torch.exp(-objective.sigma * (s[i] - s[j])))
    return loss
