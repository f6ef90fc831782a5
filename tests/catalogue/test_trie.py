"""The trie of all titles against hand-computed values and a dict of prefixes."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie, build_trie, segment_logsumexp
from llmrec.errors import InputError
from tests.catalogue.prefixes import following, token_titles

EOS = 1
HAND = [[5, 3, EOS], [5, 3, 4, EOS], [5, 2, EOS], [7, EOS], [5, 3, EOS]]
"""Nodes breadth-first: root {5, 7}; 5 {2, 3}, 7 {EOS}; 52 {EOS}, 53 {EOS, 4}; 534 {EOS}. Title 4 repeats title 0."""


def children_of(trie: Trie, node: int) -> list[int]:
    """Returns the valid next tokens at a node."""
    _, edges = trie.children(torch.tensor([node]))
    return trie.edge_token[edges].tolist()


def node_of(trie: Trie, prefix: Sequence[int]) -> int:
    return trie.walk(np.array(prefix, dtype=np.int32))


def leaves_below(trie: Trie, prefix: Sequence[int]) -> set[int]:
    """Returns the titles below a prefix, by its range of leaves."""
    node = node_of(trie, prefix)
    return set(trie.leaf_title[trie.leaf_low[node] : trie.leaf_high[node]].tolist())


def test_fan_outs_along_each_title() -> None:
    titles = token_titles(HAND)
    trie, path = build_trie(titles)
    fan_outs = np.split(trie.fan_out.numpy()[path], titles.offsets[1:-1])
    assert [row.tolist() for row in fan_outs] == [[2, 2, 2], [2, 2, 2, 1], [2, 2, 1], [2, 1], [2, 2, 2]]


@pytest.mark.parametrize(
    ("prefix", "tokens"),
    [([], [5, 7]), ([5], [2, 3]), ([7], [EOS]), ([5, 2], [EOS]), ([5, 3], [EOS, 4]), ([5, 3, 4], [EOS])],
)
def test_children_of_each_prefix(prefix: list[int], tokens: list[int]) -> None:
    trie, _ = build_trie(token_titles(HAND))
    assert children_of(trie, node_of(trie, prefix)) == tokens


def test_children_of_several_nodes_at_once() -> None:
    trie, _ = build_trie(token_titles(HAND))
    leaf = node_of(trie, [7, EOS])
    nodes = torch.tensor([node_of(trie, [5, 3]), leaf, 0, node_of(trie, [5, 3])])
    owner, edges = trie.children(nodes)
    assert owner.tolist() == [0, 0, 2, 2, 3, 3]
    assert trie.edge_token[edges].tolist() == [EOS, 4, 5, 7, EOS, 4]


def test_a_title_that_begins_another_ends_at_an_inner_node() -> None:
    trie, _ = build_trie(token_titles(HAND))
    assert leaves_below(trie, [5, 3, EOS]) == {0}
    assert leaves_below(trie, [5, 3]) == {0, 1}


def test_titles_with_equal_tokens_are_one_leaf_and_the_first_stands() -> None:
    trie, path = build_trie(token_titles(HAND))
    assert len(trie.leaf_title) == 4
    assert trie.title_leaf[0] == trie.title_leaf[4]
    assert trie.leaf_title[trie.title_leaf].tolist() == [0, 1, 2, 3, 0]
    assert path[:3].tolist() == path[-3:].tolist()


def test_leaf_length_counts_eos() -> None:
    trie, _ = build_trie(token_titles(HAND))
    assert trie.leaf_length[trie.title_leaf].tolist() == [3, 4, 3, 2, 3]


def test_a_root_with_one_child() -> None:
    trie, path = build_trie(token_titles([[9, 8, 5, EOS], [9, 8, 6, EOS], [9, 8, EOS]]))
    assert trie.fan_out[path[:4]].tolist() == [1, 1, 3, 1]
    assert children_of(trie, node_of(trie, [9, 8])) == [EOS, 5, 6]


@pytest.mark.parametrize(
    ("prefix", "tokens"),
    [([], [9, 8]), ([9], [8]), ([9, 8], []), ([9, 8, 5], [4, 4]), ([9, 8, 6], []), ([9, 8, 5, 4, 4, EOS], [])],
)
def test_what_is_forced_after_a_prefix_ends_before_a_choice_or_eos(prefix: list[int], tokens: list[int]) -> None:
    trie, _ = build_trie(token_titles([[9, 8, 5, 4, 4, EOS], [9, 8, 6, EOS], [9, 8, EOS]]))
    forced, count = trie.forced_tokens(torch.tensor([node_of(trie, prefix)]))
    assert forced[0, : count[0]].tolist() == tokens


def test_what_is_forced_after_several_nodes_at_once() -> None:
    trie, _ = build_trie(token_titles([[9, 8, 5, 4, 4, EOS], [9, 8, 6, EOS], [9, 8, EOS]]))
    forced, count = trie.forced_tokens(
        torch.tensor([node_of(trie, [9, 8, 6]), node_of(trie, [9, 8, 5]), node_of(trie, [9])])
    )
    assert count.tolist() == [0, 2, 1]
    assert forced.shape == (3, 2)
    assert forced[1].tolist() == [4, 4]
    assert forced[2, :1].tolist() == [8]


def test_one_title_alone() -> None:
    trie, path = build_trie(token_titles([[4, 4, EOS]]))
    assert trie.fan_out.tolist() == [1, 1, 1, 0]
    assert path.tolist() == [0, 1, 2]
    assert trie.leaf_title.tolist() == [0]
    assert leaves_below(trie, []) == {0}


@pytest.mark.parametrize("unknown", [[6], [5, 9], [7, EOS, 3], [5, 3, 5]])
def test_a_prefix_that_no_title_has_is_an_error(unknown: list[int]) -> None:
    trie, _ = build_trie(token_titles(HAND))
    with pytest.raises(InputError, match=r"begins with the tokens \[" + ", ".join(map(str, unknown))):
        node_of(trie, unknown)


def test_moving_to_a_device_keeps_every_tensor() -> None:
    trie, _ = build_trie(token_titles(HAND))
    moved = trie.to("cpu")
    assert moved.edge_token.tolist() == trie.edge_token.tolist()
    assert moved.fan_out.tolist() == trie.fan_out.tolist()


@pytest.fixture(scope="module")
def many() -> tuple[TitleTokens, Trie, np.ndarray]:
    """20,000 random titles of up to 7 of 12 tokens, with shared prefixes, nested titles and duplicates."""
    generator = np.random.default_rng(0)
    lengths = np.minimum(generator.geometric(0.25, 20_000), 7)
    titles = token_titles([[*generator.integers(2, 14, length), EOS] for length in lengths])
    return titles, *build_trie(titles)


def test_many_titles_have_the_paths_and_children_of_a_plain_dict(many: tuple[TitleTokens, Trie, np.ndarray]) -> None:
    titles, trie, path = many
    known = following(titles)
    owner, edges = trie.children(torch.arange(len(trie.fan_out)))
    children: list[list[int]] = [[] for _ in trie.fan_out]
    for node, token in zip(owner.tolist(), trie.edge_token[edges].tolist(), strict=True):
        children[node].append(token)
    node_of_prefix: dict[tuple[int, ...], int] = {}
    for title in range(len(titles)):
        tokens = tuple(titles.of(title).tolist())
        for depth, node in enumerate(path[titles.offsets[title] : titles.offsets[title + 1]].tolist()):
            assert node_of_prefix.setdefault(tokens[:depth], node) == node
    assert len(set(node_of_prefix.values())) == len(known)
    assert all(children[node] == sorted(known[prefix]) for prefix, node in node_of_prefix.items())


def test_many_titles_have_the_leaves_of_a_plain_dict(many: tuple[TitleTokens, Trie, np.ndarray]) -> None:
    titles, trie, path = many
    first_with: dict[tuple[int, ...], int] = {}
    below: dict[int, set[int]] = {}
    for title in range(len(titles)):
        first = first_with.setdefault(tuple(titles.of(title).tolist()), title)
        for node in path[titles.offsets[title] : titles.offsets[title + 1]].tolist():
            below.setdefault(node, set()).add(first)
    low, high, of_leaf = trie.leaf_low.tolist(), trie.leaf_high.tolist(), trie.leaf_title.tolist()
    assert sorted(of_leaf) == sorted(first_with.values())
    for node, expected in below.items():
        assert set(of_leaf[low[node] : high[node]]) == expected
        assert high[node] - low[node] == len(expected)


def test_segment_logsumexp_is_torchs_in_each_segment() -> None:
    torch.manual_seed(0)
    values, owner = torch.randn(9, dtype=torch.float64) * 100, torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 2])
    expected = [values[owner == segment].logsumexp(0) for segment in range(3)]
    torch.testing.assert_close(segment_logsumexp(values, owner, 3), torch.stack(expected))


def test_segment_logsumexp_has_the_softmax_as_its_gradient() -> None:
    values = torch.tensor([0.0, 2.0, -1.0, 5.0], requires_grad=True)
    segment_logsumexp(values, torch.tensor([0, 0, 0, 1]), 2).sum().backward()
    expected = torch.cat([torch.tensor([0.0, 2.0, -1.0]).softmax(0), torch.ones(1)])
    torch.testing.assert_close(values.grad, expected)


def test_segment_logsumexp_takes_minus_infinity() -> None:
    values = torch.tensor([float("-inf"), 3.0, float("-inf")])
    assert segment_logsumexp(values, torch.tensor([0, 0, 1]), 2).tolist() == [3.0, float("-inf")]
