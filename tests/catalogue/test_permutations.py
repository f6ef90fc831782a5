"""The implicit trie of permutations against an explicit one."""

import itertools

import numpy as np
import torch

from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie

TOKENS, EOS = [70, 50, 60], 2
ORDERS = Permutations.of(TOKENS, EOS)


def nodes(*bits: int) -> torch.Tensor:
    return torch.tensor(bits)


def valid(node: int) -> list[int]:
    """Returns the valid next tokens at a node."""
    return ORDERS.edge_token[ORDERS.children(nodes(node))[1]].tolist()


def test_the_children_of_a_node_are_the_identifiers_left() -> None:
    owner, edge = ORDERS.children(nodes(0b101, 0b000, 0b111, 0b010))
    assert owner.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert edge.tolist() == [0, 2, 3, 0, 1, 2, 1]
    assert ORDERS.edge_token.tolist() == [70, 50, 60, EOS]


def test_fan_outs() -> None:
    assert ORDERS.fan_out_at(nodes(0b111, 0b101, 0b100, 0b000)).tolist() == [3, 2, 1, 1]
    assert ORDERS.max_fan_out == 3


def test_the_end_follows_the_empty_set_alone() -> None:
    assert [node for node in range(8) if EOS in valid(node)] == [0]
    assert valid(0) == [EOS]


def test_no_nodes_have_no_children() -> None:
    none = torch.zeros(0, dtype=torch.long)
    owner, edge = ORDERS.children(none)
    assert (len(owner), len(edge), len(ORDERS.fan_out_at(none))) == (0, 0, 0)


def test_it_moves_to_another_device() -> None:
    moved = ORDERS.to("meta")
    assert moved.edge_token.device.type == "meta"
    assert moved.max_fan_out == 3


def test_every_path_is_that_of_the_trie_laid_out() -> None:
    written = [[*order, EOS] for order in itertools.permutations(TOKENS)]
    trie, path = build_trie(TitleTokens(np.array(written, dtype=np.int32).ravel(), np.arange(7) * 4))
    for tokens, laid_out in zip(written, path.reshape(6, 4), strict=True):
        node = 0b111
        for token, at in zip(tokens, laid_out, strict=True):
            there = torch.tensor([at]).long()
            assert int(ORDERS.fan_out_at(nodes(node))) == int(trie.fan_out_at(there))
            assert set(valid(node)) == set(trie.edge_token[trie.children(there)[1]].tolist())
            assert token in valid(node)
            node -= 0 if token == EOS else 1 << TOKENS.index(token)
    assert trie.max_fan_out == ORDERS.max_fan_out
