"""Log-probabilities of all titles of the catalogue after a prompt, under trie scores: exhaustive scoring."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import Packed, pack, predictor_columns
from llmrec.backbones.probe import layer_count
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY, all_excluded, edge_scores

ROW_TOKENS = 512
"""Approximate number of title tokens in a packed row; on the fast path, nodes and those above the first one."""
ROWS = 4
"""Packed rows that are run together. They share the prompt, which is run once for all."""


class CatalogueScorer:
    """Scores all titles of a catalogue.

    Forced tokens add nothing to a score, so of each title only the tokens before its last choice are run. On the fast
    path each node of the trie is run once for all titles below it, and sees the nodes above it (tree attention). On the
    plain path one sequence is run for every node at which titles have their last choice.
    """

    def __init__(self, trie: Trie, titles: TitleTokens, path: np.ndarray) -> None:
        """Finds out what to run.

        Args:
            trie: The trie of the titles, on the CPU.
            titles: The tokens of the titles.
            path: The node before each token, int `[tokens]`, as `build_trie` returns it.
        """
        self.trie, self.titles = trie, titles
        self.title_edges = trie.edges(torch.from_numpy(path), torch.from_numpy(titles.tokens)).numpy()
        is_choice = trie.fan_out.numpy()[path] > 1
        number = np.where(is_choice, np.arange(len(path)), -1)
        last = np.maximum.reduceat(number, titles.offsets[:-1])
        starts, last = titles.offsets[:-1][last >= 0], last[last >= 0]
        _, chosen = np.unique(path[last], return_index=True)
        starts, last = starts[chosen], last[chosen]
        self.branches = [titles.tokens[start:end].astype(np.int64) for start, end in zip(starts, last, strict=True)]
        lengths = last - starts + 1
        branch = np.repeat(np.arange(len(starts)), lengths)
        depth = np.arange(len(branch)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        position = starts[branch] + depth
        node, first = np.unique(path[position], return_index=True)
        kept = np.sort(first[trie.fan_out.numpy()[node] > 1])
        # A node at which several tokens are valid, a branch that passes through it, and its depth there.
        self.node, self.branch, self.depth = path[position[kept]], branch[kept], depth[kept]
        low = trie.leaf_low.numpy()
        shared = 1 + np.flatnonzero(trie.leaf_high.numpy()[1:] - low[1:] > 1)
        # The nodes with a choice at or below them, without the root, depth-first.
        self.run_nodes = shared[np.lexsort((trie.depth.numpy()[shared], low[shared]))]

    @torch.inference_mode()
    def scores(
        self, backbone: Backbone, prompt: np.ndarray, temperature: float = 1.0, excluded: np.ndarray | None = None
    ) -> np.ndarray:
        """Computes the log-probability of every title, EOS included.

        Args:
            backbone: The model, in evaluation mode.
            prompt: The prompt, int `[length]`.
            temperature: See `edge_scores`.
            excluded: Leaves that must not be given, int64 `[leaves]`, -1 = padding; None excludes none.

        Returns:
            float64 `[titles]`; -inf for excluded titles.
        """
        trie = self.trie.to(backbone.device)
        leaves = None if excluded is None else torch.from_numpy(excluded).to(backbone.device)
        step = np.zeros(len(trie.edge_token))
        encode = self._encode_branches if backbone.uses_plain_path else self._encode_nodes
        for node, encoded in encode(backbone, prompt):
            owner, edge = trie.children(torch.from_numpy(node).long().to(backbone.device))
            left_out = None if leaves is None else all_excluded(trie, edge + 1, leaves.expand(len(edge), -1))
            scored = edge_scores(encoded, owner, edge, trie, "trie", left_out, temperature)
            step[edge.cpu().numpy()] = scored.double().cpu().numpy()
        found = np.add.reduceat(step[self.title_edges], self.titles.offsets[:-1])
        if excluded is not None:
            # Where all titles below a node are excluded, trie scores are undefined.
            found[np.isin(self.trie.title_leaf.numpy(), excluded)] = NEGATIVE_INFINITY
        return found

    def _encode_nodes(self, backbone: Backbone, prompt: np.ndarray) -> Iterator[tuple[np.ndarray, Encoded]]:
        """Yields nodes at which several tokens are valid, and the states at them; each node is run once."""
        is_choice = self.trie.fan_out.numpy() > 1
        cache = AppendCache(layer_count(backbone), rows=1, capacity=len(prompt))
        tokens = torch.from_numpy(prompt.astype(np.int64))[None].to(backbone.device)
        hidden = backbone.extend(cache, tokens, torch.arange(len(prompt), device=backbone.device)[None], None)
        if is_choice[0]:
            yield np.zeros(1, dtype=np.int64), Encoded(backbone.head, hidden[0, -1:])
        rows = np.split(self.run_nodes, np.arange(ROW_TOKENS, len(self.run_nodes), ROW_TOKENS))
        for start in range(0, len(rows) if len(self.run_nodes) else 0, ROWS):
            batch = rows[start : start + ROWS]
            # What comes before a row in depth-first order, and above one of its nodes, is above its first node.
            above = [self._above(row[0]) for row in batch]
            nodes = pad_sequence([torch.from_numpy(np.concatenate(pair)) for pair in zip(above, batch, strict=True)])
            hidden = self._run(backbone, cache, nodes.T, len(prompt))
            chosen = [np.flatnonzero(is_choice[row]) for row in batch]
            states = [hidden[r, len(above[r]) + torch.from_numpy(columns)] for r, columns in enumerate(chosen)]
            node = np.concatenate([row[columns] for row, columns in zip(batch, chosen, strict=True)])
            if len(node):
                yield node, Encoded(backbone.head, torch.cat(states))

    def _above(self, node: int) -> np.ndarray:
        """Returns the nodes above a node, without the root, int64 `[depth - 1]`."""
        above = list[int]()
        while (node := int(self.trie.parent[node - 1])) > 0:
            above.append(node)
        return np.array(above[::-1], dtype=np.int64)

    def _run(self, backbone: Backbone, prompt_cache: AppendCache, nodes: Tensor, prompt_length: int) -> Tensor:
        """Computes the states at nodes (int64 `[rows, columns]`, 0 = padding), each of which follows those above it."""
        trie = self.trie
        low, high, depth = trie.leaf_low[nodes], trie.leaf_high[nodes], trie.depth[nodes]
        sees = (low[:, None] <= low[:, :, None]) & (low[:, :, None] < high[:, None])
        sees &= (depth[:, None] <= depth[:, :, None]) & (nodes[:, None] > 0)
        visible = torch.cat([sees.new_ones((*nodes.shape, prompt_length)), sees], dim=2).to(backbone.device)
        cache = AppendCache(layer_count(backbone), len(nodes), prompt_length + nodes.shape[1], prompt_cache)
        # Edge e leads to node e + 1.
        tokens = trie.edge_token[(nodes - 1).clamp(min=0)].long().to(backbone.device)
        positions = (prompt_length + depth - 1).to(backbone.device)
        return backbone.extend(cache, tokens, positions, visible)

    def _encode_branches(self, backbone: Backbone, prompt: np.ndarray) -> Iterator[tuple[np.ndarray, Encoded]]:
        """Yields nodes at which several tokens are valid, and the states at them, from packed branches."""
        for branches in self._batches():
            packed, index, node = self._packed(prompt, branches)
            yield node, backbone.encode(packed.to(backbone.device), torch.from_numpy(index).to(backbone.device))

    def _batches(self) -> Iterator[list[np.ndarray]]:
        """Yields the numbers of the branches of each row of a batch, int64 `[branches]` each."""
        row = np.cumsum([len(tokens) for tokens in self.branches], dtype=np.int64) // ROW_TOKENS
        rows = np.split(np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1)
        for start in range(0, len(rows) if len(row) else 0, ROWS):
            yield rows[start : start + ROWS]

    def _packed(self, prompt: np.ndarray, rows: list[np.ndarray]) -> tuple[Packed, np.ndarray, np.ndarray]:
        """Packs branches, and returns the nodes that they stand for and the flat index of the state at each."""
        branches = [[self.branches[number] for number in row] for row in rows]
        packed, starts = pack([prompt] * len(rows), branches, shared_columns=len(prompt) - 1)
        first, last = rows[0][0], rows[-1][-1]
        inside = (self.branch >= first) & (self.branch <= last)
        start = np.concatenate(starts)[self.branch[inside] - first]
        return packed, predictor_columns(start, self.depth[inside]), self.node[inside]
