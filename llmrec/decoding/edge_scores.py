"""How likely each edge of the trie is, given the state of the node that it leaves."""

from typing import Literal

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.trie import Trie, segment_logsumexp

NEVER = float("-inf")


def edge_scores(
    encoded: Encoded, owner: Tensor, edge: Tensor, trie: Trie, scores: Literal["trie", "vocab"], dead: Tensor | None
) -> Tensor:
    """Log-probability of each edge, float32 [edges]; -inf, and no part of the softmax over valid tokens, where dead.

    encoded: the states of some nodes; owner, edge: int64 [edges], what Trie.children gives; dead: bool [edges].
    """
    token = trie.edge_token[edge].long()
    if scores == "vocab":
        logits = encoded.logits()
        score = logits[owner, token] - logits.logsumexp(-1)[owner]
        return score if dead is None else score.masked_fill(dead, NEVER)
    asked, column = torch.unique(token, return_inverse=True)
    score = encoded.logits(asked)[owner, column]
    if dead is not None:
        score = score.masked_fill(dead, NEVER)
    return score - segment_logsumexp(score, owner, len(encoded))[owner]


def all_excluded(trie: Trie, node: Tensor, leaves: Tensor) -> Tensor:
    """bool [nodes]: whether `leaves` (int64 [nodes, n], once each, -1 = padding) has every title below a node."""
    low, high = trie.leaf_low[node].long(), trie.leaf_high[node].long()
    inside = (leaves >= low[:, None]) & (leaves < high[:, None])
    return inside.sum(1) == high - low
