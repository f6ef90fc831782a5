"""APAO: golden values of the prefix term, by hand."""

import pytest
import torch

from llmrec.objectives.apao import prefix_losses


def test_golden_value() -> None:
    # L = (1, .75, .566667) and v = (.439731, .321655, .238614); the last token belongs to no prefix.
    losses = torch.tensor([[1.0, 0.5, 0.2, 0.1]], dtype=torch.float64)
    found = prefix_losses(losses, torch.tensor([4]), eta=0.1)
    assert found.tolist() == pytest.approx([0.816187], abs=1e-6)


def test_rows_of_other_lengths_have_weights_of_their_own() -> None:
    losses = torch.tensor([[1.0, 0.5, 0.2, 0.1], [2.0, 9.0, 9.0, 9.0], [3.0, 9.0, 9.0, 9.0]], dtype=torch.float64)
    found = prefix_losses(losses, torch.tensor([4, 2, 1]), eta=0.1)
    # With two tokens the only prefix is the first token; with one there is none.
    assert found.tolist() == pytest.approx([0.816187, 2.0, 0.0], abs=1e-6)


def test_the_weights_have_no_gradient() -> None:
    losses = torch.tensor([[1.0, 0.5, 0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    prefix_losses(losses, torch.tensor([4]), eta=0.1).sum().backward()
    # Of L_1, L_2 and L_3 the first token has 1, 1/2 and 1/3.
    first = 0.439731 + 0.321655 / 2 + 0.238614 / 3
    second = 0.321655 / 2 + 0.238614 / 3
    assert losses.grad is not None
    assert losses.grad[0].tolist() == pytest.approx([first, second, 0.238614 / 3, 0.0], abs=1e-6)


def test_a_row_of_sure_tokens_has_loss_0() -> None:
    assert prefix_losses(torch.zeros(1, 3), torch.tensor([3]), eta=1.0).tolist() == [0.0]
