"""User-defined token losses are called for the supervised positions, and no others."""

from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Batch, Sums, TokenLoss
from tests.objectives.given import given, prepared_batch, step

EOS = 1
TITLES = [[9, 5, 3, EOS], [9, 5, 4, EOS], [9, 6, EOS]]
"""One forced token, a choice of 5 and 6, and after 5 a choice of 3 and 4."""


class Response(TokenLoss):
    """A loss of one for each token."""

    supervises: ClassVar[Literal["response", "branching"]] = "response"

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Returns ones."""
        return torch.ones(len(encoded)), {"seen": torch.tensor(float(len(batch.state_index)))}


class Branching(Response):
    """The same loss, supervised at branching positions only."""

    supervises = "branching"


@pytest.mark.parametrize(("kind", "tokens"), [(Branching, [5, 4, 6]), (Response, [9, 5, 4, EOS, 9, 6, EOS])])
def test_a_token_loss_gets_the_positions_that_it_declares(kind: type[TokenLoss], tokens: list[int]) -> None:
    batch = prepared_batch(kind(), TITLES, [1, 2])
    assert batch.token.tolist() == tokens


def test_the_states_of_branching_positions_are_those_before_the_choice() -> None:
    batch = prepared_batch(Branching(), TITLES, [1, 2])
    # The prompt has two columns. The forced token 9 is in the third, whose state predicts the branching token.
    before = batch.packed.tokens.flatten()[batch.state_index]
    assert before.tolist() == [9, 5, 9]
    assert batch.packed.tokens.tolist() == [[3, 4, 9, 5], [3, 4, 9, 0]]


def test_nodes_are_those_whose_children_are_the_choice() -> None:
    objective = Branching()
    batch = prepared_batch(objective, TITLES, [1, 2])
    # Breadth-first: root, 9, 95, 96.
    assert batch.node.tolist() == [1, 2, 1]


def test_the_mean_is_over_the_supervised_tokens_of_all_micro_batches() -> None:
    objective = Branching()
    parts = [prepared_batch(objective, TITLES, targets) for targets in ([0, 2], [1])]
    encoded = [given(torch.zeros(len(batch.state_index), 10)) for batch in parts]
    assert [len(states) for states in encoded] == [3, 2]
    assert step(objective, list(zip(encoded, parts, strict=True))) == pytest.approx(1.0)


def test_response_tokens_are_counted_supervised_or_not() -> None:
    assert int(prepared_batch(Branching(), TITLES, [1, 2]).response_tokens) == 7


def test_a_catalogue_of_one_title_leaves_nothing_to_choose_and_no_loss() -> None:
    objective = Branching()
    batch = prepared_batch(objective, [[9, 5, EOS]], [0])
    assert len(batch.state_index) == 0
    assert step(objective, [(given(torch.zeros(0, 10)), batch)]) == 0.0
