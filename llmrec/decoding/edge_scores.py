"""Log-probabilities of the trie's edges, given the model's states at the nodes that they leave."""

from typing import Literal

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.trie import Trie, segment_logsumexp

NEGATIVE_INFINITY = float("-inf")


def edge_scores(
    encoded: Encoded,
    owner: Tensor,
    edge: Tensor,
    trie: Trie,
    scores: Literal["trie", "vocab"],
    excluded: Tensor | None,
    temperature: float = 1.0,
    log_normalizers: Tensor | None = None,
) -> Tensor:
    """Computes the log-probability of each edge.

    Args:
        encoded: The model's states at the nodes.
        owner: Index into `encoded` of the node that each edge leaves, int64 `[edges]`, as `Trie.children` returns it.
        edge: The edges, int64 `[edges]`.
        trie: The trie.
        scores: "vocab" normalizes over the whole vocabulary, "trie" over the valid tokens of the node.
        excluded: Edges that must not be taken, bool `[edges]`; None excludes none.
        temperature: Divides the logits before they are normalized.
        log_normalizers: For "vocab", `encoded.log_normalizers(temperature)` if it is known already, float32 `[N]`.

    Returns:
        float32 `[edges]`. Excluded edges get -inf, and "trie" leaves them out of the normalization.
    """
    token = trie.edge_token[edge].long()
    distinct_tokens, column = torch.unique(token, return_inverse=True)
    score = encoded.logits(distinct_tokens)[owner, column] / temperature
    if excluded is not None:
        score = score.masked_fill(excluded, NEGATIVE_INFINITY)
    if scores == "trie":
        return score - segment_logsumexp(score, owner, len(encoded))[owner]
    if log_normalizers is None:
        log_normalizers = encoded.log_normalizers(temperature)
    return score - log_normalizers[owner]


def all_excluded(trie: Trie, node: Tensor, leaves: Tensor) -> Tensor:
    """Checks for each node whether all titles below it are excluded.

    Args:
        trie: The trie.
        node: int64 `[nodes]`.
        leaves: The leaves excluded for each node, int64 `[nodes, n]`, without repetition, -1 = padding.

    Returns:
        bool `[nodes]`.
    """
    low, high = trie.leaf_low[node].long(), trie.leaf_high[node].long()
    inside = (leaves >= low[:, None]) & (leaves < high[:, None])
    return inside.sum(1) == high - low
