"""Best-first search on the trie: the exact best titles of a batch of prompts, with a certificate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie
from llmrec.decoding.continuations import continuations, tokens_to_choice
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY
from llmrec.decoding.session import Session, SharedPrefix, open_session

PREFIXES_PER_CALL = 16
"""Open prefixes of a row that are expanded together in one model call, the best ones."""


@dataclass(frozen=True)
class ExactSearch:
    """Settings of the exact search.

    A title's score is the sum of its tokens' log-probabilities among the valid tokens. These are at most 0, so the
    score of a prefix bounds the scores of all titles that begin with it. The search always expands the open prefixes
    with the highest scores, and ends when none of them can lead to a title that belongs in the list.

    Attributes:
        k: Number of titles that are returned.
        budget: Largest number of prefixes of a row that are expanded, the empty one included.
        temperature: Divides the logits before they are normalized.
    """

    k: int = 10
    budget: int = 1000
    temperature: float = 1.0

    def appended_tokens(self, trie: Trie) -> int:
        """Returns the number of tokens that the prefixes of a row append to its prompt on average, to size caches."""
        is_shared = trie.leaf_high - trie.leaf_low > 1
        choices = int((trie.fan_out > 1).sum())
        if choices == 0:
            return 0
        return int(np.ceil(min(self.budget, choices) / choices * int(is_shared.sum())))


@dataclass(frozen=True)
class Found:
    """Result of the exact search.

    Attributes:
        leaf: int64 `[rows, k]`, best first, -1 = no further title. Titles with equal scores are in the catalogue's
            order.
        score: float32 `[rows, k]`, -inf where there is no title.
        bound: No title that is not in the list has a score above it, float32 `[rows]`. It is the score of the last
            title in a certified list, -inf if that has fewer than `k` titles.
        certified: Whether the list is known to be the exact one, bool `[rows]`.
        prefixes: Number of prefixes that were expanded, int64 `[rows]`.
        model_calls: Number of model calls that took part in, that of the prompt included, int64 `[rows]`.
    """

    leaf: Tensor
    score: Tensor
    bound: Tensor
    certified: Tensor
    prefixes: Tensor
    model_calls: Tensor


@dataclass
class _State:
    """Open prefixes and best titles of every row."""

    node: Tensor
    """The open prefixes, best first, int64 `[rows, open]`."""
    score: Tensor
    """Their scores, float32 `[rows, open]`; -inf for those that are expanded or cannot enter the list."""
    branch: Tensor
    """The session's branch that each continues, int64 `[rows, open]`."""
    leaf: Tensor
    """Leaves of the best titles, int64 `[rows, k]`, -1 = none."""
    final: Tensor
    """Their scores, float32 `[rows, k]`, -inf = none."""
    prefixes: Tensor
    """Number of expanded prefixes, int64 `[rows]`."""
    model_calls: Tensor
    """int64 `[rows]`."""
    branches: int = 1
    """Number of the session's branches in each row."""


@dataclass(frozen=True)
class _Expanded:
    """Prefixes that the newest model call has run, up to their next choice; tensors are `[rows, prefixes]`."""

    node: Tensor
    score: Tensor
    state_index: Tensor
    branch: Tensor
    chosen: Tensor
    """bool: False for padding."""


@torch.inference_mode()
def search_exact(
    backbone: Backbone,
    trie: Trie,
    prompts: Sequence[np.ndarray],
    shared: SharedPrefix,
    settings: ExactSearch,
    excluded: Tensor | None = None,
) -> Found:
    """Searches the exact best titles of each prompt, under trie scores.

    Args:
        backbone: The model.
        trie: The titles, on the backbone's device.
        prompts: One prompt per row, int `[length]` each.
        shared: The tokens that all prompts begin with.
        settings: The search's settings.
        excluded: Leaves that a row must not return (its history), int64 `[rows, n]`, -1 = padding. The remaining titles
            are scored as in a catalogue without them.
    """
    session, state_index = open_session(backbone, trie, prompts, shared, settings.appended_tokens(trie))
    state = _start(state_index, settings)
    expanded = _root(trie, state_index)
    while True:
        _add_continuations(state, expanded, session, trie, settings, excluded)
        chosen = _choose(state, settings)
        if not bool(chosen.any()):
            return _found(state)
        expanded = _expand(state, chosen, session, trie)


def _start(state_index: Tensor, settings: ExactSearch) -> _State:
    rows, device = len(state_index), state_index.device
    none = torch.zeros((rows, 0), dtype=torch.long, device=device)
    leaf = torch.full((rows, settings.k), -1, device=device)
    final = torch.full((rows, settings.k), NEGATIVE_INFINITY, device=device)
    once = torch.ones(rows, dtype=torch.long, device=device)
    return _State(none, none.float(), none, leaf, final, once, once.clone())


def _root(trie: Trie, state_index: Tensor) -> _Expanded:
    root = torch.zeros_like(state_index)
    forced = trie.forced_tokens(root[:, 0])[1][:, None]
    return _Expanded(trie.next_choice[root], root.float(), state_index + forced, root, torch.ones_like(root).bool())


def _add_continuations(
    state: _State, new: _Expanded, session: Session, trie: Trie, settings: ExactSearch, excluded: Tensor | None
) -> None:
    """Adds the continuations of expanded prefixes: titles where they determine one, open prefixes otherwise."""
    score, node, parent = continuations(
        session, trie, new.node, new.score, new.state_index, new.chosen, "trie", settings.temperature, excluded
    )
    is_title = trie.leaf_high[node] - trie.leaf_low[node] == 1
    _merge_titles(state, score.masked_fill(~is_title, NEGATIVE_INFINITY), trie.leaf_low[node].long(), trie)
    open_scores = torch.cat([state.score, score.masked_fill(is_title, NEGATIVE_INFINITY)], dim=1)
    can_enter = open_scores >= state.final[:, -1:]
    open_scores = open_scores.masked_fill(~can_enter, NEGATIVE_INFINITY)
    # A stable sort does not depend on the padding, as topk would among equal scores.
    open_scores, order = open_scores.sort(dim=1, descending=True, stable=True)
    # At most `budget` prefixes are still expanded, and the one after them is the bound.
    width = min(int((open_scores > NEGATIVE_INFINITY).sum(1).max()), settings.budget + 1)
    order = order[:, :width]
    state.score = open_scores[:, :width]
    state.node = torch.cat([state.node, node], dim=1).gather(1, order)
    state.branch = torch.cat([state.branch, new.branch.gather(1, parent)], dim=1).gather(1, order)


def _merge_titles(state: _State, score: Tensor, leaf: Tensor, trie: Trie) -> None:
    """Merges newly found titles (`[rows, n]`, score -inf = none) into the best ones."""
    k = state.leaf.shape[1]
    leaves = torch.cat([state.leaf, leaf.masked_fill(score == NEGATIVE_INFINITY, -1)], dim=1)
    scores = torch.cat([state.final, score], dim=1)
    by_title = trie.leaf_title[leaves].argsort(dim=1, stable=True)
    scores, order = scores.gather(1, by_title).sort(dim=1, descending=True, stable=True)
    state.final, state.leaf = scores[:, :k], leaves.gather(1, by_title).gather(1, order)[:, :k]


def _choose(state: _State, settings: ExactSearch) -> Tensor:
    """Returns which of the first open prefixes to expand, as many as the budget allows, bool `[rows, at most 16]`."""
    score = state.score[:, :PREFIXES_PER_CALL]
    number = torch.arange(score.shape[1], device=score.device)
    chosen: Tensor = (score > NEGATIVE_INFINITY) & (number < settings.budget - state.prefixes[:, None])
    return chosen


def _expand(state: _State, chosen: Tensor, session: Session, trie: Trie) -> _Expanded:
    """Runs the chosen prefixes, the first ones, through the model up to their next choices, and closes them."""
    count = chosen.shape[1]
    node, score = state.node[:, :count], state.score[:, :count]
    tokens, lengths = tokens_to_choice(trie, node, chosen)
    state_index, branch = _fork(state, state.branch[:, :count], tokens, lengths, session)
    state.score = state.score.clone()
    state.score[:, :count] = score.masked_fill(chosen, NEGATIVE_INFINITY)
    state.prefixes += chosen.sum(1)
    state.model_calls += chosen.any(1)
    return _Expanded(trie.next_choice[node], score, state_index + (lengths - 1).clamp(min=0), branch, chosen)


def _fork(state: _State, parent: Tensor, tokens: Tensor, lengths: Tensor, session: Session) -> tuple[Tensor, Tensor]:
    """Adds branches that continue others, which remain; returns the first new states and the branches' indices."""
    rows, device = len(parent), parent.device
    old = torch.arange(state.branches, device=device).expand(rows, -1)
    no_tokens = tokens.new_zeros((rows, state.branches, tokens.shape[2]))
    index = session.extend(
        torch.cat([old, parent], dim=1),
        torch.cat([no_tokens, tokens], dim=1),
        torch.cat([torch.zeros_like(old), lengths], dim=1),
    )
    branch = state.branches + torch.arange(parent.shape[1], device=device).expand_as(parent)
    index = index[:, state.branches :]
    state.branches += parent.shape[1]
    return index, branch


def _found(state: _State) -> Found:
    last = state.final[:, -1]
    certified = (state.score == NEGATIVE_INFINITY).all(1)
    highest_open = torch.cat([state.score, torch.full_like(last, NEGATIVE_INFINITY)[:, None]], dim=1).amax(1)
    bound = torch.maximum(highest_open, last)
    return Found(state.leaf, state.final, bound, certified, state.prefixes, state.model_calls)
