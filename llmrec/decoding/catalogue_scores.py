"""Log-probabilities of all titles of the catalogue after a prompt, under trie scores: exhaustive scoring."""

from collections.abc import Iterator

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import Packed, pack, predictor_columns
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY, all_excluded, edge_scores

ROW_TOKENS = 512
"""Approximate number of title tokens in a packed row."""
ROWS = 4
"""Packed rows that are run together. They share the prompt, which is run once for all."""


class CatalogueScorer:
    """Scores all titles of a catalogue.

    Forced tokens add nothing to a score, so of each title only the tokens before its last choice are run, once for all
    titles that share them.
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
        for branches in self._batches():
            packed, index, node = self._packed(prompt, branches)
            encoded = backbone.encode(packed.to(backbone.device), torch.from_numpy(index).to(backbone.device))
            owner, edge = trie.children(torch.from_numpy(node).long().to(backbone.device))
            left_out = None if leaves is None else all_excluded(trie, edge + 1, leaves.expand(len(edge), -1))
            scored = edge_scores(encoded, owner, edge, trie, "trie", left_out, temperature)
            step[edge.cpu().numpy()] = scored.double().cpu().numpy()
        found = np.add.reduceat(step[self.title_edges], self.titles.offsets[:-1])
        if excluded is not None:
            # Where all titles below a node are excluded, trie scores are undefined.
            found[np.isin(self.trie.title_leaf.numpy(), excluded)] = NEGATIVE_INFINITY
        return found

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
