"""The forward primitive: branches of a prompt equal plain sequences in states, losses and gradients."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import Packed, pack, predictor_columns
from tests.backbones.models import FAST, PLAIN, VOCABULARY, backbone, sequence

START = sequence(5, seed=1)
PROMPTS = [np.concatenate([START, sequence(length, seed=2 + length)]) for length in (6, 2, 4)]
BRANCHES = [[sequence(3, seed=20), sequence(1, seed=21), sequence(4, seed=22)], [sequence(2, seed=23)], []]


def laid_out(branches: list[list[np.ndarray]], shared: int) -> tuple[Packed, Tensor]:
    """Packs branches; also returns the columns that predict each branch's tokens and the token after it."""
    packed, starts = pack(PROMPTS, branches, shared)
    columns = [
        predictor_columns(start, np.arange(len(branch) + 1))
        for row, row_starts in zip(branches, starts, strict=True)
        for branch, start in zip(row, row_starts, strict=True)
    ]
    return packed, torch.from_numpy(np.concatenate(columns))


def one_by_one(model: PreTrainedModel, branches: list[list[np.ndarray]]) -> Tensor:
    """Computes the same logits with one unpadded forward pass per branch."""
    rows = []
    for prompt, row in zip(PROMPTS, branches, strict=True):
        for branch in row:
            tokens = torch.from_numpy(np.concatenate([prompt, branch])).long()
            rows.append(model(input_ids=tokens[None], use_cache=False).logits[0, len(prompt) - 1 :].float())
    return torch.cat(rows)


@pytest.mark.parametrize("architecture", FAST)
@pytest.mark.parametrize("shared", [0, len(START)])
@torch.no_grad()
def test_branches_are_plain_sequences(architecture: Callable[[], PreTrainedModel], shared: int) -> None:
    model = backbone(architecture)
    packed, at = laid_out(BRANCHES, shared)
    torch.testing.assert_close(
        model.encode(packed, at).logits(), one_by_one(model.causal_lm, BRANCHES), atol=2e-5, rtol=1e-5
    )


@pytest.mark.parametrize("architecture", FAST)
@pytest.mark.parametrize("shared", [0, len(START)])
@torch.no_grad()
def test_single_branches_are_plain_sequences(architecture: Callable[[], PreTrainedModel], shared: int) -> None:
    model, branches = backbone(architecture), [row[:1] for row in BRANCHES]
    packed, at = laid_out(branches, shared)
    torch.testing.assert_close(
        model.encode(packed, at).logits(), one_by_one(model.causal_lm, branches), atol=2e-5, rtol=1e-5
    )


@pytest.mark.parametrize("architecture", [*FAST, *PLAIN])
@torch.no_grad()
def test_the_plain_path_is_plain_sequences(architecture: Callable[[], PreTrainedModel]) -> None:
    model = backbone(architecture)
    model.uses_plain_path = True
    packed, at = laid_out(BRANCHES, shared=len(START))
    torch.testing.assert_close(
        model.encode(packed, at).logits(), one_by_one(model.causal_lm, BRANCHES), atol=2e-5, rtol=1e-5
    )


@pytest.mark.parametrize("plain", [False, True])
@torch.no_grad()
def test_states_come_in_the_order_asked_for(plain: bool) -> None:
    model = backbone()
    model.uses_plain_path = plain
    packed, at = laid_out(BRANCHES, shared=0)
    order = torch.tensor([7, 2, 2, 0])
    everywhere = model.encode(packed, at)
    torch.testing.assert_close(model.encode(packed, at[order]).logits(), everywhere.logits()[order])
    torch.testing.assert_close(everywhere[order].logits(), everywhere.logits()[order])
    assert len(everywhere[order]) == 4


@pytest.mark.parametrize("architecture", FAST)
@pytest.mark.parametrize("plain", [False, True])
@torch.no_grad()
def test_logits_of_some_tokens_are_columns_of_all(architecture: Callable[[], PreTrainedModel], plain: bool) -> None:
    model = backbone(architecture)
    model.uses_plain_path = plain
    encoded = model.encode(*laid_out(BRANCHES, shared=0))
    some = torch.tensor([VOCABULARY - 1, 4, 4, 17])
    torch.testing.assert_close(encoded.logits(some), encoded.logits()[:, some])


@torch.no_grad()
def test_the_heads_bias_belongs_to_its_tokens() -> None:
    model = backbone()
    model.causal_lm.lm_head.bias = torch.nn.Parameter(torch.arange(float(VOCABULARY)))
    encoded = model.encode(*laid_out(BRANCHES, shared=0))
    some = torch.tensor([3, 30])
    torch.testing.assert_close(encoded.logits(some), encoded.logits()[:, some])


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    model = backbone()
    packed, at = laid_out(BRANCHES, shared=0)
    other = replace(packed, tokens=torch.where(packed.branch < 0, 7, packed.tokens))
    assert not torch.equal(other.tokens, packed.tokens)
    assert torch.equal(model.encode(other, at).logits(), model.encode(packed, at).logits())


def gradients(model: Backbone, loss: Tensor) -> dict[str, Tensor]:
    """Computes the gradients of all weights, and resets them in the model."""
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def assert_same_gradients(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    """Compares gradients relative to the largest entry of all, since that of a key's bias is only rounding error."""
    assert one.keys() == other.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, atol=tolerance * largest, rtol=0, msg=name)


@pytest.mark.parametrize("architecture", FAST)
def test_gradients_flow_through_the_shared_prefix(architecture: Callable[[], PreTrainedModel]) -> None:
    model = backbone(architecture)
    packed, at = laid_out(BRANCHES, shared=len(START))
    shared = gradients(model, model.encode(packed, at).logits().square().mean())
    alone = gradients(model, model.encode(replace(packed, shared_columns=0), at).logits().square().mean())
    assert_same_gradients(alone, shared, tolerance=1e-5)


def log_probabilities(model: Backbone, prompt: np.ndarray, titles: list[np.ndarray]) -> list[Tensor]:
    """Computes the log-probability of each title as a branch of one prompt; the last token is no input."""
    packed, starts = pack([prompt], [[title[:-1] for title in titles]])
    sums = []
    for title, start in zip(titles, starts[0], strict=True):
        at = torch.from_numpy(predictor_columns(start, np.arange(len(title))))
        logits = model.encode(packed, at).logits()
        sums.append(logits.log_softmax(-1).gather(1, torch.from_numpy(title).long()[:, None]).sum())
    return sums


def plain_log_probability(model: Backbone, prompt: np.ndarray, title: np.ndarray) -> Tensor:
    """Computes the log-probability of a title from one full sequence."""
    tokens = torch.from_numpy(np.concatenate([prompt, title])).long()
    logits = model.causal_lm(input_ids=tokens[None], use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.from_numpy(title).long()[:, None]).sum()


@pytest.mark.parametrize("architecture", FAST)
def test_a_chosen_and_a_rejected_branch_are_two_full_sequences(architecture: Callable[[], PreTrainedModel]) -> None:
    model, prompt = backbone(architecture), PROMPTS[0]
    chosen, rejected = sequence(4, seed=30), sequence(6, seed=31)
    one, other = log_probabilities(model, prompt, [chosen, rejected])
    branched = torch.nn.functional.softplus(0.1 * (other - one))
    difference = plain_log_probability(model, prompt, rejected) - plain_log_probability(model, prompt, chosen)
    plain = torch.nn.functional.softplus(0.1 * difference)
    torch.testing.assert_close(branched, plain, atol=1e-5, rtol=1e-5)
    assert_same_gradients(gradients(model, plain), gradients(model, branched), tolerance=1e-5)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    model = backbone().train()
    packed, at = laid_out(BRANCHES, shared=0)
    kept = gradients(model, model.encode(packed, at).logits().square().mean())
    model.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    again = gradients(model, model.encode(packed, at).logits().square().mean())
    assert_same_gradients(kept, again, tolerance=1e-5)
