"""Steps of a search on the trie: scores of the continuations of prefixes, and tokens up to the next choice."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from llmrec.catalogue.trie import Trie
from llmrec.decoding.assistance import Assistance
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY, all_excluded, edge_scores
from llmrec.decoding.session import Session


def continuations(
    session: Session,
    trie: Trie,
    node: Tensor,
    score: Tensor,
    state_index: Tensor,
    alive: Tensor,
    scores: Literal["trie", "vocab"],
    temperature: float,
    excluded: Tensor | None,
    assistance: Assistance | None = None,
    counts: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores all continuations of prefixes by one token.

    Args:
        session: The session that holds the prefixes' states.
        trie: The trie.
        node: The prefixes, int64 `[rows, prefixes]`.
        score: Their scores, float32 `[rows, prefixes]`.
        state_index: Index of the session's state after each, int64 `[rows, prefixes]`.
        alive: The prefixes to continue, bool `[rows, prefixes]`.
        scores: See `edge_scores`.
        temperature: See `edge_scores`.
        excluded: Leaves that a row must not return, int64 `[rows, n]`, -1 = padding; None excludes none.
        assistance: A text-free model whose distribution over titles is mixed into the scores of each step.
        counts: What `continuation_counts` returns, if it is known already.

    Returns:
        score: float32 `[rows, most in a row]`, -inf where there is no further continuation.
        child: The nodes of the continuations, int64 `[rows, most in a row]`.
        parent: The prefix that each continues, int64 `[rows, most in a row]`.
    """
    rows, prefixes = node.shape
    edges, widest = counts or continuation_counts(trie, node, alive).tolist()
    nodes = _nodes_or_leaf(trie, node, alive)
    per_row = trie.fan_out[nodes].sum(1)
    owner, edge = trie.children(nodes.flatten(), edges)
    row = owner // prefixes
    excluded_edges = None if excluded is None else all_excluded(trie, edge + 1, excluded[row])
    # Prefixes that are not continued may have outrun their states.
    index = state_index.where(alive, 0).flatten()
    normalizers = session.log_normalizers(index, temperature) if scores == "vocab" else None
    states = session.states(index)
    step_score = edge_scores(states, owner, edge, trie, scores, excluded_edges, temperature, normalizers)
    if assistance is not None:
        step_score = assistance.mixed(step_score, owner, len(states), edge, row, trie)
    column = torch.arange(len(row), device=row.device) - (per_row.cumsum(0) - per_row)[row]
    width = max(widest, 1)
    total = torch.full((rows, width), NEGATIVE_INFINITY, device=row.device)
    child, parent = torch.zeros((2, rows, width), dtype=torch.long, device=row.device)
    total[row, column] = score.flatten()[owner] + step_score
    child[row, column], parent[row, column] = edge + 1, owner % prefixes
    return total, child, parent


def continuation_counts(trie: Trie, node: Tensor, alive: Tensor) -> Tensor:
    """Returns the number of continuations of all prefixes, and the largest number in a row, int64 `[2]`.

    They determine shapes, so the host has to wait for them; arguments as for `continuations`.
    """
    per_row = trie.fan_out[_nodes_or_leaf(trie, node, alive)].sum(1)
    return torch.stack([per_row.sum(), per_row.max()])


def _nodes_or_leaf(trie: Trie, node: Tensor, is_node: Tensor) -> Tensor:
    """Replaces nodes where `is_node` is False by the last node, a leaf: nothing follows it."""
    return node.where(is_node, len(trie.fan_out) - 1)


def tokens_to_choice(trie: Trie, node: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the newest token of prefixes, together with all forced tokens after it.

    Args:
        trie: The trie.
        node: The prefixes, int64 `[rows, prefixes]`.
        chosen: The prefixes whose tokens are returned, bool `[rows, prefixes]`.

    Returns:
        tokens: int64 `[rows, prefixes, longest]`; entries beyond a prefix's count are meaningless.
        lengths: Number of tokens, 0 for prefixes that are not chosen, int64 `[rows, prefixes]`.
    """
    forced, count = trie.forced_tokens(_nodes_or_leaf(trie, node, chosen).flatten())
    # Edge e leads to node e + 1, so the token before a node is that of the edge with the preceding index.
    tokens = torch.cat([trie.edge_token[node.flatten() - 1].long()[:, None], forced], dim=1)
    return tokens.unflatten(0, node.shape), (count.view_as(node) + 1).where(chosen, 0)
