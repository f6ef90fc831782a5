"""SFT: cross-entropy of the response over the whole vocabulary, by hand."""

from math import log

import pytest
import torch

from llmrec.objectives.sft import SFT
from tests.objectives.given import given, prepared_batch, step

EOS = 1
TITLES = [[5, EOS], [6, 7, EOS]]


def test_every_token_of_the_response_is_supervised_with_eos() -> None:
    batch = prepared_batch(SFT(), TITLES, [1, 0])
    assert batch.token.tolist() == [6, 7, EOS, 5, EOS]
    assert batch.row.tolist() == [0, 0, 0, 1, 1]


def test_the_loss_of_a_token_is_minus_its_log_probability() -> None:
    objective = SFT()
    batch = prepared_batch(objective, TITLES, [0])
    logits = torch.zeros(2, 8)
    logits[0, 5] = log(3)
    # Three of ten for 5, one of eight for EOS.
    losses, _ = objective.token_losses(given(logits), batch)
    assert losses.tolist() == pytest.approx([log(10 / 3), log(8)])


def test_the_loss_is_the_mean_over_the_tokens_of_the_whole_step() -> None:
    objective = SFT()
    one, other = (prepared_batch(objective, TITLES, targets) for targets in ([0], [1]))
    sure = torch.zeros(2, 8)
    sure[0, 5] = sure[1, EOS] = 100.0
    assert step(objective, [(given(sure), one), (given(torch.zeros(3, 8)), other)]) == pytest.approx(3 / 5 * log(8))


def test_it_has_no_state() -> None:
    assert not SFT().state_dict()
    assert not SFT().monitors()
