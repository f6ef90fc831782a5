"""Steps of a search on the trie: scores of the continuations of prefixes, and tokens up to the next choice."""

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

    Returns:
        score: float32 `[rows, most in a row]`, -inf where there is no further continuation.
        child: The nodes of the continuations, int64 `[rows, most in a row]`.
        parent: The prefix that each continues, int64 `[rows, most in a row]`.
    """
    rows, prefixes = node.shape
    live = torch.nonzero(alive.flatten())[:, 0]
    owner, edge = trie.children(node.flatten()[live])
    source = live[owner]
    row = source // prefixes
    excluded_edges = None if excluded is None else all_excluded(trie, edge + 1, excluded[row])
    states = session.states(state_index.flatten()[live])
    step_score = edge_scores(states, owner, edge, trie, scores, excluded_edges, temperature)
    if assistance is not None:
        step_score = assistance.mixed(step_score, owner, edge, row, trie)
    per_row = torch.bincount(row, minlength=rows)
    column = torch.arange(len(row), device=row.device) - (per_row.cumsum(0) - per_row)[row]
    width = max(int(per_row.max()), 1)
    total = torch.full((rows, width), NEGATIVE_INFINITY, device=row.device)
    child, parent = torch.zeros((2, rows, width), dtype=torch.long, device=row.device)
    total[row, column] = score.flatten()[source] + step_score
    child[row, column], parent[row, column] = edge + 1, source % prefixes
    return total, child, parent


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
    newest = node[chosen]
    forced, count = trie.forced_tokens(newest)
    # Edge e leads to node e + 1, so the token before a node is that of the edge with the preceding index.
    new_tokens = torch.cat([trie.edge_token[newest - 1].long()[:, None], forced], dim=1)
    tokens = torch.zeros((*node.shape, new_tokens.shape[1]), dtype=torch.long, device=node.device)
    tokens[chosen] = new_tokens
    lengths = torch.zeros_like(node)
    lengths[chosen] = count + 1
    return tokens, lengths
