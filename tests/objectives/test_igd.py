"""IGD: weights of the trie's edges and the weighted mean, by hand."""

from math import log

import pytest
import torch

from llmrec.catalogue.trie import build_trie
from llmrec.objectives.igd import IGD, edge_weights
from llmrec.objectives.sft import SFT
from tests.catalogue.prefixes import token_titles
from tests.objectives.given import given, prepared_batch, step

EOS = 1
TITLES = [[5, 7, EOS], [5, 8, EOS], [6, EOS], [5, 9, EOS]]


def weights(targets: list[int], beta: float) -> dict[tuple[int, int], float]:
    """The weight of each edge by its node's depth-first name: the first token, then the token."""
    trie, _ = build_trie(token_titles(TITLES))
    found = edge_weights(trie, trie.title_leaf.long()[targets], beta).tolist()
    node = {0: 0, trie.walk([5]): 5, trie.walk([6]): 6}
    names = zip(trie.parent.tolist(), trie.edge_token.tolist(), strict=True)
    return {
        (node[parent], token): weight for (parent, token), weight in zip(names, found, strict=True) if parent in node
    }


def test_only_tokens_that_narrow_down_the_training_targets_have_weight_1() -> None:
    # Two targets begin with 5, and continue with 7 or 8; nobody chose the fourth title.
    assert weights([0, 0, 1, 2], 0.1) == pytest.approx(
        {(0, 5): 1, (0, 6): 1, (5, 7): 1, (5, 8): 1, (5, 9): 0.1, (6, EOS): 0.1}
    )


def test_a_choice_that_no_training_target_has_is_none() -> None:
    # All begin with 5 and continue with 7.
    assert weights([0, 0], 0.5) == pytest.approx(
        {(0, 5): 0.5, (0, 6): 0.5, (5, 7): 0.5, (5, 8): 0.5, (5, 9): 0.5, (6, EOS): 0.5}
    )


def test_the_loss_is_the_weighted_mean() -> None:
    objective = IGD(SFT(), beta=0.25)
    sft = SFT()
    batch = prepared_batch(sft, TITLES, [0])
    trie, _ = build_trie(token_titles(TITLES))
    objective.trie, objective.weight_of_edge = trie, edge_weights(trie, trie.title_leaf.long()[[0, 1, 2]], 0.25)
    rows = torch.zeros(3, 10)
    rows[0, 5] = log(11)
    # 11 of 20 for token 5, then a tenth each; 5 and 7 are decisive, EOS is forced.
    expected = (log(20 / 11) + log(10) + 0.25 * log(10)) / 2.25
    assert step(objective, [(given(rows), batch)]) == pytest.approx(expected, rel=1e-6)
