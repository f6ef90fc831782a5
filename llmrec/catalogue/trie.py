"""The trie of all titles as CSR arrays: which tokens keep a prefix the prefix of some title."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from llmrec.catalogue.titles import TitleTokens
from llmrec.errors import InputError


@dataclass(frozen=True)
class Trie:
    """Nodes in breadth-first order, the root is 0. Edge e leads to node e + 1, so "next node" needs no array.

    first_edge: [nodes + 1], the edges of node v are first_edge[v] : first_edge[v + 1], ordered by token;
    edge_token: [edges]; leaves are numbered depth-first, so that the titles below node v are the leaves
    leaf_low[v] : leaf_high[v]; leaf_title: [leaves], index of the title (the first, where a tokenizer makes several
    titles equal); leaf_length: [leaves], tokens with EOS; title_leaf: [titles]. All int32.
    """

    first_edge: Tensor
    edge_token: Tensor
    leaf_low: Tensor
    leaf_high: Tensor
    leaf_title: Tensor
    leaf_length: Tensor
    title_leaf: Tensor

    def to(self, device: torch.device | str) -> "Trie":
        """The same trie on another device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    @cached_property
    def fan_out(self) -> Tensor:
        """int32 [nodes]: number of valid tokens after each prefix."""
        return self.first_edge.diff()

    @cached_property
    def widest(self) -> int:
        """The largest fan-out."""
        return int(self.fan_out.max())

    @cached_property
    def unique_depth(self) -> Tensor:
        """int64 [leaves]: after how many tokens no other title is left."""
        parent = torch.repeat_interleave(torch.arange(len(self.fan_out), device=self.fan_out.device), self.fan_out)
        depth = torch.zeros(len(self.fan_out), dtype=torch.long, device=self.fan_out.device)
        reached = torch.zeros(1, dtype=torch.long, device=depth.device)
        while len(reached):
            _, edge = self.children(reached)
            depth[edge + 1] = depth[parent[edge]] + 1
            reached = edge + 1
        alone = (self.leaf_high - self.leaf_low == 1).nonzero()[:, 0]
        found = torch.full((len(self.leaf_length),), len(depth), device=depth.device)
        return found.scatter_reduce(0, self.leaf_low[alone].long(), depth[alone], "amin")

    @cached_property
    def longest(self) -> int:
        """The length of the longest title, in tokens with EOS."""
        return int(self.leaf_length.max())

    def fan_out_at(self, nodes: Tensor) -> Tensor:
        """int32 [n]: number of valid tokens at each node."""
        return self.fan_out[nodes]

    def forced(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens after each node up to its next choice or EOS, int64 [nodes, longest], and how many, [nodes]."""
        tokens: list[Tensor] = []
        lengths = torch.zeros_like(nodes)
        while True:
            following = torch.where(self.fan_out[nodes] == 1, self.first_edge[nodes].long() + 1, nodes)
            going = (following != nodes) & (self.fan_out[following] > 0)
            if not bool(going.any()):
                return torch.stack([*tokens, torch.zeros_like(nodes)], dim=1)[:, :-1], lengths
            tokens.append(self.edge_token[following - 1].long())
            lengths += going
            nodes = torch.where(going, following, nodes)

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The edges of each node, flat: (owner, edge), int64, owner indexing into `nodes`."""
        counts = self.fan_out[nodes].long()
        owner = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), counts)
        within = torch.arange(len(owner), device=nodes.device) - (counts.cumsum(0) - counts)[owner]
        return owner, self.first_edge[nodes].long()[owner] + within

    def edges(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """int64 [n]: the edge that each token takes from its node; tokens must be valid there."""
        return torch.searchsorted(self._keys, nodes.long() * self._stride + tokens.long())

    @cached_property
    def _stride(self) -> int:
        return int(self.edge_token.max()) + 1

    @cached_property
    def _keys(self) -> Tensor:
        """int64 [edges], ascending: a number for each pair of node and token."""
        node = torch.repeat_interleave(torch.arange(len(self.fan_out), device=self.fan_out.device), self.fan_out)
        return node * self._stride + self.edge_token.long()

    def walk(self, tokens: np.ndarray) -> int:
        """The node that a prefix reaches. Raises InputError when no title begins with it."""
        node = 0
        for token in tokens:
            low, high = int(self.first_edge[node]), int(self.first_edge[node + 1])
            edge = low + int(np.searchsorted(self.edge_token[low:high].cpu().numpy(), token))
            if edge == high or int(self.edge_token[edge]) != token:
                raise InputError(f"no title of the catalogue begins with the tokens {list(map(int, tokens))}")
            node = edge + 1
        return node


def build_trie(titles: TitleTokens) -> tuple[Trie, np.ndarray]:
    """Builds the trie level by level, vectorised over titles.

    Returns the trie and, aligned with titles.tokens, the node before each token (int32): the path of every title.
    """
    levels, path, end_node = _grow(titles)
    nodes = 1 + sum(len(parents) for parents, _ in levels)
    parent = np.concatenate([parents for parents, _ in levels])
    edge_token = np.concatenate([tokens for _, tokens in levels])
    first_edge = np.concatenate([[0], np.cumsum(np.bincount(parent, minlength=nodes))])
    low, high = _leaf_ranges(levels, first_edge, nodes)
    title_leaf = low[end_node]
    # Assigned last to first, so that the first of the titles with equal tokens stands.
    leaf_title = np.zeros(high[0], dtype=np.int64)
    leaf_title[title_leaf[::-1]] = np.arange(len(titles))[::-1]
    leaf_length = np.diff(titles.offsets)[leaf_title]
    arrays = (first_edge, edge_token, low, high, leaf_title, leaf_length, title_leaf)
    return Trie(*(torch.from_numpy(np.ascontiguousarray(array, dtype=np.int32)) for array in arrays)), path


def segment_logsumexp(values: Tensor, owner: Tensor, segments: int) -> Tensor:
    """logsumexp over the children of each node, [segments]: values float [edges], owner as `Trie.children` gives it."""
    top = torch.full((segments,), float("-inf"), dtype=values.dtype, device=values.device)
    top = top.scatter_reduce(0, owner, values.detach(), "amax").clamp(min=torch.finfo(values.dtype).min)
    total = torch.zeros_like(top).index_add(0, owner, (values - top[owner]).exp())
    return total.log() + top


def _grow(titles: TitleTokens) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    base = int(titles.tokens.max()) + 1
    path = np.zeros(len(titles.tokens), dtype=np.int32)
    active, starts, lengths = np.arange(len(titles)), titles.offsets[:-1], np.diff(titles.offsets)
    node = np.zeros(len(titles), dtype=np.int32)
    levels, next_node, depth = [], 1, 0
    while len(active):
        at = starts[active] + depth
        path[at] = node[active]
        edges, edge_of = np.unique(node[active].astype(np.int64) * base + titles.tokens[at], return_inverse=True)
        levels.append(((edges // base).astype(np.int32), (edges % base).astype(np.int32)))
        node[active] = next_node + edge_of
        next_node, depth = next_node + len(edges), depth + 1
        active = active[lengths[active] > depth]
    return levels, path, node


def _leaf_ranges(
    levels: list[tuple[np.ndarray, np.ndarray]], first_edge: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    leaves = (np.diff(first_edge) == 0).astype(np.int64)
    ends = 1 + np.cumsum([len(parents) for parents, _ in levels])
    for (parents, _), end in zip(reversed(levels), reversed(ends), strict=True):
        below = leaves[end - len(parents) : end]
        leaves += np.bincount(parents, weights=below, minlength=nodes).astype(np.int64)
    low = np.zeros(nodes, dtype=np.int64)
    for (parents, _), end in zip(levels, ends, strict=True):
        begin = end - len(parents)
        before = np.concatenate([[0], np.cumsum(leaves[begin:end])])
        # Edge e leads to node e + 1, so the first child of a parent stands at first_edge[parent] + 1.
        low[begin:end] = low[parents] + before[:-1] - before[first_edge[parents] + 1 - begin]
    return low, low + leaves
