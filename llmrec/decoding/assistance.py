"""A text-free model that assists a language model in decoding: its distribution over titles, token by token."""

from dataclasses import dataclass

import torch
from torch import Tensor

from llmrec.catalogue.trie import Trie, segment_logsumexp
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY


@dataclass(frozen=True)
class Assistance:
    """The assistant's distribution over the titles of a batch, and its weight.

    A step's score is `alpha * log p + (1 - alpha) * log q`, where p is the language model's probability of the next
    token and q the assistant's: the sum over the titles that continue the prefix with this token, divided by the sum
    over those that continue the prefix. Over the tokens of a title, log q sums to the log-probability of the title.
    Source: D3, arXiv 2406.14900, as in the official code.

    Attributes:
        log_mass: Log-probability of each leaf of the trie, float32 `[rows, leaves]`, -inf for excluded leaves.
        alpha: Weight of the language model, in [0, 1].
    """

    log_mass: Tensor
    alpha: float

    @staticmethod
    def of_titles(scores: Tensor, trie: Trie, excluded: Tensor | None, alpha: float) -> "Assistance":
        """Turns an assistant's scores of titles into its distribution, the softmax over all titles.

        Args:
            scores: float32 `[rows, titles]`.
            trie: The titles, on the device of the scores.
            excluded: Leaves that a row must not return, int64 `[rows, n]`, -1 = padding; None excludes none.
            alpha: Weight of the language model.
        """
        rows, leaves = len(scores), len(trie.leaf_title)
        # Titles with equal tokens share a leaf.
        leaf = torch.arange(rows, device=scores.device)[:, None] * leaves + trie.title_leaf.long()
        log_mass = segment_logsumexp(scores.log_softmax(1).flatten(), leaf.flatten(), rows * leaves).view(rows, leaves)
        if excluded is not None:
            row, column = torch.nonzero(excluded >= 0, as_tuple=True)
            log_mass[row, excluded[row, column]] = NEGATIVE_INFINITY
        return Assistance(log_mass, alpha)

    def mixed(self, score: Tensor, owner: Tensor, nodes: int, edge: Tensor, row: Tensor, trie: Trie) -> Tensor:
        """Mixes the assistant's log-probabilities of edges into those of the language model.

        Args:
            score: The language model's, float32 `[edges]`; -inf for excluded edges, which stay excluded.
            owner: Index of the node that each edge leaves, int64 `[edges]`, as `Trie.children` returns it.
            nodes: Number of these nodes, including those without edges.
            edge: All edges of these nodes, int64 `[edges]`.
            row: The row that each edge belongs to, int64 `[edges]`.
            trie: The trie.

        Returns:
            float32 `[edges]`.
        """
        below = self._mass_below(edge + 1, row, trie)
        step = below - segment_logsumexp(below, owner, nodes)[owner]
        mixed = self.alpha * score + (1 - self.alpha) * step
        return mixed.masked_fill(score == NEGATIVE_INFINITY, NEGATIVE_INFINITY)

    def _mass_below(self, node: Tensor, row: Tensor, trie: Trie) -> Tensor:
        """Returns the log-probability of all titles below each node, float32 `[nodes]`."""
        low, count = trie.leaf_low[node].long(), (trie.leaf_high - trie.leaf_low)[node].long()
        number = torch.repeat_interleave(torch.arange(len(node), device=node.device), count)
        leaf = torch.arange(len(number), device=node.device) - (count.cumsum(0) - count)[number] + low[number]
        return segment_logsumexp(self.log_mass[row[number], leaf], number, len(node))
