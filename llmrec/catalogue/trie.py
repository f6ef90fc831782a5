"""Trie over the token sequences of all titles, stored as CSR arrays: the valid next tokens of every prefix."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from llmrec.catalogue.titles import TitleTokens
from llmrec.errors import InputError


@dataclass(frozen=True)
class Trie:
    """A trie whose nodes are numbered breadth-first, with the root as node 0.

    Edge e leads to node e + 1, so the targets of edges are not stored. Leaves have a numbering of their own,
    depth-first, so that the leaves below a node are a range. All arrays are int32.

    Attributes:
        first_edge: `[nodes + 1]`; the edges of node v are `first_edge[v] : first_edge[v + 1]`, ordered by token.
        edge_token: `[edges]`; the token of each edge.
        leaf_low: `[nodes]`; the leaves below node v are `leaf_low[v] : leaf_high[v]`.
        leaf_high: `[nodes]`; see `leaf_low`.
        leaf_title: `[leaves]`; index of the leaf's title. If several titles have equal tokens, the first of them.
        leaf_length: `[leaves]`; number of tokens of the leaf's title, with EOS.
        title_leaf: `[titles]`; the leaf of each title.
    """

    first_edge: Tensor
    edge_token: Tensor
    leaf_low: Tensor
    leaf_high: Tensor
    leaf_title: Tensor
    leaf_length: Tensor
    title_leaf: Tensor

    def to(self, device: torch.device | str) -> "Trie":
        """Returns a copy on another device, or the trie itself, with what it has computed, if it is there already."""
        if self.first_edge.device == torch.device(device):
            return self
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @cached_property
    def fan_out(self) -> Tensor:
        """Number of valid tokens at each node, int32 `[nodes]`."""
        return self.first_edge.diff()

    @cached_property
    def max_fan_out(self) -> int:
        """The largest number of valid tokens at any node."""
        return int(self.fan_out.max())

    @cached_property
    def parent(self) -> Tensor:
        """The node that each edge leaves, int64 `[edges]`."""
        nodes = torch.arange(len(self.fan_out), device=self.fan_out.device)
        return torch.repeat_interleave(nodes, self.fan_out, output_size=len(self.edge_token))

    @cached_property
    def depth(self) -> Tensor:
        """Number of tokens before each node, int64 `[nodes]`."""
        # A node above each node, the root above itself, and the number of tokens between them.
        above = torch.cat([self.parent.new_zeros(1), self.parent])
        depth = torch.ones_like(above)
        depth[:1] = 0
        for _ in range(self.max_length.bit_length()):
            # Each round doubles the distance.
            depth, above = depth + depth[above], above[above]
        return depth

    @cached_property
    def unique_depth(self) -> Tensor:
        """Number of tokens after which a title is the only one with its prefix, int64 `[leaves]`."""
        alone = (self.leaf_high - self.leaf_low == 1).nonzero()[:, 0]
        unreached = torch.full((len(self.leaf_length),), len(self.depth), device=self.depth.device)
        return unreached.scatter_reduce(0, self.leaf_low[alone].long(), self.depth[alone], "amin")

    @cached_property
    def max_length(self) -> int:
        """Length of the longest title, in tokens with EOS."""
        return int(self.leaf_length.max())

    @cached_property
    def next_choice(self) -> Tensor:
        """The node after the forced tokens of each node, see `forced_tokens`: its next choice, int64 `[nodes]`."""
        nodes = torch.arange(len(self.fan_out), device=self.fan_out.device)
        child = torch.where(self.fan_out == 1, self.first_edge[:-1].long() + 1, nodes)
        reached = torch.where(self.fan_out[child] > 0, child, nodes)
        while True:
            # Each round doubles the number of forced tokens that are passed over.
            further = reached[reached]
            if torch.equal(further, reached):
                return reached
            reached = further

    def fan_out_at(self, nodes: Tensor) -> Tensor:
        """Returns the number of valid tokens at each of `nodes` (int64 `[n]`) as int32 `[n]`."""
        return self.fan_out[nodes]

    def forced_tokens(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the forced tokens after each node: the only valid ones, up to the next choice or EOS (excluded).

        Args:
            nodes: int64 `[n]`.

        Returns:
            tokens: int64 `[n, longest]`; entries beyond a node's count are meaningless.
            lengths: Number of forced tokens after each node, int64 `[n]`.
        """
        token, place = self._chains
        lengths = self.depth[self.next_choice[nodes]] - self.depth[nodes]
        column = 1 + torch.arange(int(lengths.max()), device=nodes.device)
        return token[(place[nodes][:, None] + column).clamp(max=len(token) - 1)].long(), lengths

    @cached_property
    def _chains(self) -> tuple[Tensor, Tensor]:
        """The tokens before all nodes, those of nodes with the same next choice one after another, int32 `[nodes]`.

        Also the place of each node in this order, int64 `[nodes]`. The nodes that share a next choice are a chain.
        """
        order = (self.next_choice * (self.max_length + 1) + self.depth).argsort()
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        # Edge e leads to node e + 1. No token leads to the root, which begins its chain, so its entry is not read.
        return self.edge_token[(order - 1).clamp(min=0)], place

    def children(self, nodes: Tensor, edges: int | None = None) -> tuple[Tensor, Tensor]:
        """Lists the edges of all `nodes` (int64 `[n]`), node by node.

        Args:
            nodes: int64 `[n]`.
            edges: Their number of edges, if it is known. Otherwise a GPU has to be waited for.

        Returns:
            owner: Index into `nodes` of the node that each edge leaves, int64 `[edges]`, ascending.
            edge: The edges, int64 `[edges]`.
        """
        counts = self.fan_out[nodes].long()
        owner = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), counts, output_size=edges)
        within = torch.arange(len(owner), device=nodes.device) - (counts.cumsum(0) - counts)[owner]
        return owner, self.first_edge[nodes].long()[owner] + within

    def edges(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Returns the edge from each of `nodes` with the given token, int64 `[n]`; the token must be valid there."""
        return torch.searchsorted(self._keys, nodes.long() * self._stride + tokens.long())

    @cached_property
    def _stride(self) -> int:
        return int(self.edge_token.max()) + 1

    @cached_property
    def _keys(self) -> Tensor:
        """A number for each pair of node and token, ascending with the edges, int64 `[edges]`."""
        return self.parent * self._stride + self.edge_token.long()

    def walk(self, tokens: np.ndarray) -> int:
        """Returns the node that a prefix (int `[length]`) leads to.

        Raises:
            InputError: If no title begins with this prefix.
        """
        node = 0
        for token in tokens:
            low, high = int(self.first_edge[node]), int(self.first_edge[node + 1])
            edge = low + int(np.searchsorted(self.edge_token[low:high].cpu().numpy(), token))
            if edge == high or int(self.edge_token[edge]) != token:
                raise InputError(f"no title of the catalogue begins with the tokens {list(map(int, tokens))}")
            node = edge + 1
        return node


def build_trie(titles: TitleTokens) -> tuple[Trie, np.ndarray]:
    """Builds the trie level by level, vectorized over titles.

    Returns:
        trie: On the CPU.
        path: The node before each token, aligned with `titles.tokens`, int32 `[sum of lengths]`.
    """
    levels, path, end_node = _grow(titles)
    nodes = 1 + sum(len(parents) for parents, _ in levels)
    parent = np.concatenate([parents for parents, _ in levels])
    edge_token = np.concatenate([tokens for _, tokens in levels])
    first_edge = np.concatenate([[0], np.cumsum(np.bincount(parent, minlength=nodes))])
    low, high = _leaf_ranges(levels, first_edge, nodes)
    title_leaf = low[end_node]
    # Assigned from last to first, so that of several titles with equal tokens the first remains.
    leaf_title = np.zeros(high[0], dtype=np.int64)
    leaf_title[title_leaf[::-1]] = np.arange(len(titles))[::-1]
    leaf_length = np.diff(titles.offsets)[leaf_title]
    arrays = (first_edge, edge_token, low, high, leaf_title, leaf_length, title_leaf)
    return Trie(*(torch.from_numpy(np.ascontiguousarray(array, dtype=np.int32)) for array in arrays)), path


def segment_logsumexp(values: Tensor, owner: Tensor, segments: int) -> Tensor:
    """Computes the logsumexp over the edges of each node.

    Args:
        values: One value per edge, float `[edges]`.
        owner: The node that each edge leaves, int64 `[edges]`, as `Trie.children` returns it.
        segments: Number of nodes.

    Returns:
        float `[segments]`.
    """
    top = torch.full((segments,), float("-inf"), dtype=values.dtype, device=values.device)
    top = top.scatter_reduce(0, owner, values.detach(), "amax").clamp(min=torch.finfo(values.dtype).min)
    total = torch.zeros_like(top).index_add(0, owner, (values - top[owner]).exp())
    return total.log() + top


def _grow(titles: TitleTokens) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Returns each level's edges as (parent nodes, tokens), the node before each token, and each title's last node."""
    base = int(titles.tokens.max()) + 1
    path = np.zeros(len(titles.tokens), dtype=np.int32)
    active, starts, lengths = np.arange(len(titles)), titles.offsets[:-1], np.diff(titles.offsets)
    node = np.zeros(len(titles), dtype=np.int32)
    levels, next_node, depth = [], 1, 0
    while len(active):
        position = starts[active] + depth
        path[position] = node[active]
        edges, edge_of = np.unique(node[active].astype(np.int64) * base + titles.tokens[position], return_inverse=True)
        levels.append(((edges // base).astype(np.int32), (edges % base).astype(np.int32)))
        node[active] = next_node + edge_of
        next_node, depth = next_node + len(edges), depth + 1
        active = active[lengths[active] > depth]
    return levels, path, node


def _leaf_ranges(
    levels: list[tuple[np.ndarray, np.ndarray]], first_edge: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `Trie.leaf_low` and `Trie.leaf_high`, int64 `[nodes]` each."""
    leaves = (np.diff(first_edge) == 0).astype(np.int64)
    ends = 1 + np.cumsum([len(parents) for parents, _ in levels])
    for (parents, _), end in zip(reversed(levels), reversed(ends), strict=True):
        below = leaves[end - len(parents) : end]
        leaves += np.bincount(parents, weights=below, minlength=nodes).astype(np.int64)
    low = np.zeros(nodes, dtype=np.int64)
    for (parents, _), end in zip(levels, ends, strict=True):
        begin = end - len(parents)
        before = np.concatenate([[0], np.cumsum(leaves[begin:end])])
        # Edge e leads to node e + 1, so the first child of a parent is node first_edge[parent] + 1.
        low[begin:end] = low[parents] + before[:-1] - before[first_edge[parents] + 1 - begin]
    return low, low + leaves
