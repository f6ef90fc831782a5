"""CFT: the contrast of the logits and the weights of positions, by hand."""

from math import log
from pathlib import Path

import pytest
import torch

from llmrec.errors import InputError
from llmrec.objectives.batch import kept_positions
from llmrec.objectives.cft import CFT
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from tests.invariants.world import ROWS, build_world, micro_batches, take_step

ALL = list(range(len(ROWS)))


def test_the_loss_by_hand(tmp_path: Path) -> None:
    world = build_world(("cft", "objective.alpha=0.5", "objective.beta=0.25"), tmp_path)
    (batch,) = micro_batches(world, ALL)
    encoded = world.backbone.encode(batch.packed, batch.state_index)
    logits = encoded.logits().double().detach()
    expected, weights = 0.0, 0.0
    for row in ALL:
        first, second = (torch.nonzero((batch.row == row) & (batch.branch == branch))[:, 0] for branch in (0, 1))
        assert torch.equal(batch.token[first], batch.token[second])
        length = len(first)
        for position, (factual, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
            token = batch.token[factual]
            weight = 1 - 0.75 * position / (length - 1)
            loss = -torch.log_softmax(logits[factual], 0)[token]
            contrast = -torch.log_softmax(logits[factual] - logits[other], 0)[token]
            expected += float(weight * (loss + 0.5 * contrast))
            weights += weight
    assert take_step(world, [batch]).loss == pytest.approx(expected / weights, rel=1e-5)


def test_without_contrast_and_with_equal_weights_it_is_the_token_loss(tmp_path: Path) -> None:
    cft = build_world(("cft", "objective.alpha=0", "objective.beta=1"), tmp_path)
    sft = build_world(("sft",), tmp_path)
    ours, theirs = (take_step(world, micro_batches(world, ALL)) for world in (cft, sft))
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_a_history_that_changes_nothing_leaves_the_contrast_uniform(tmp_path: Path) -> None:
    world = build_world(("cft", "objective.alpha=1", "objective.beta=1"), tmp_path)
    (batch,) = micro_batches(world, ALL)
    encoded = world.backbone.encode(batch.packed, batch.state_index)
    order = torch.cat([torch.nonzero(batch.branch == branch)[:, 0] for branch in (0, 1)]).argsort()
    states = encoded[torch.nonzero(batch.branch == 0)[:, 0]]
    both = type(encoded)(encoded.head, torch.cat([states.hidden, states.hidden])[order])
    totals = world.objective.totals(batch)
    loss = float(world.objective(both, batch, totals).loss.detach())
    plain = SFT().token_losses(states, kept_positions(batch, batch.branch == 0))[0].mean()
    # Equal logits cancel: every token of the vocabulary is as likely.
    assert loss == pytest.approx(float(plain) + log(encoded.logits().shape[1]), rel=1e-5)


def test_statistics_of_the_same_step_are_refused() -> None:
    with pytest.raises(InputError, match=r"Set objective\.token_loss\.statistics=previous_step$"):
        CFT(MSL(statistics="same_step"))
