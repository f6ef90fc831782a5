"""Trie-constrained beam search for the best titles of a batch of prompts, or for a sample of titles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie
from llmrec.decoding.assistance import Assistance
from llmrec.decoding.continuations import continuation_counts, continuations, tokens_to_choice
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY
from llmrec.decoding.gumbel_noise import perturbed
from llmrec.decoding.session import Session, SharedPrefix, open_session

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called with the number of tokens of the live beams, their nodes (int64 `[rows, beams]`, -1 = none), and the leaves of
the titles that are in the list so far (int64 `[rows, beams]`, -1 = none)."""


@dataclass(frozen=True)
class BeamSearch:
    """Settings of the beam search.

    A title's score is the sum of its tokens' log-probabilities divided by `length ** length_penalty`, with the length
    in tokens including EOS. Live beams are compared by their sums.

    "vocab" scores follow Hugging Face's beam search with early_stopping=False. With "trie" scores a beam is finished
    as soon as its prefix determines the title, since the remaining tokens add zero. Its final score is then known, so
    every finished title competes for a position in the list, and the search continues while a live beam could still
    enter the list.

    Attributes:
        beams: Number of beams, which is also the number of titles that are returned.
        scores: "vocab" takes the log-softmax over the vocabulary and then applies the constraint, as a Hugging Face
            prefix constraint does; "trie" applies the constraint first, as the MSL loss does in training.
        length_penalty: Exponent of the title's length; 0 ranks titles by their sums.
        temperature: Divides the logits before they are normalized.
    """

    beams: int = 10
    scores: Literal["trie", "vocab"] = "trie"
    length_penalty: float = 0.0
    temperature: float = 1.0

    def appended_tokens(self, trie: Trie) -> int:
        """Returns the number of tokens that all beams of a prompt together may append to it, to size caches.

        On a GPU this is enough for 95% of the titles, and caches grow when it is not: capacity for the longest title
        would be ten times what most titles need. With "trie" scores a title is decoded only until it is unique. On a
        CPU, where memory that is never written costs nothing, it is enough for the longest title.
        """
        if trie.leaf_length.device.type == "cpu":
            return self.beams * trie.max_length
        depths = trie.unique_depth if self.scores == "trie" else trie.leaf_length
        return self.beams * int(np.ceil(np.quantile(depths.cpu().numpy(), 0.95)))


@dataclass
class _State:
    """Live beams and finished titles of every row; tensors are `[rows, beams]` unless noted otherwise."""

    node: Tensor
    total: Tensor
    """Sums of the log-probabilities."""
    score: Tensor
    """What beams compete by: the sums, perturbed if titles are sampled."""
    branch: Tensor
    """The session's branch that each beam continues."""
    state_index: Tensor
    """Index of the session's state of each beam's newest token."""
    leaf: Tensor
    """Leaves of the finished titles, -1 = none."""
    final: Tensor
    """Scores of the finished titles, -inf = none."""
    done: Tensor
    """bool `[rows]`: whether no live beam can still enter the finished titles."""

    @property
    def alive(self) -> Tensor:
        """Beams that the search continues, bool `[rows, beams]`."""
        return (self.score > NEGATIVE_INFINITY) & ~self.done[:, None]


@torch.inference_mode()
def search(
    backbone: Backbone,
    trie: Trie,
    prompts: Sequence[np.ndarray],
    shared: SharedPrefix,
    settings: BeamSearch,
    excluded: Tensor | None = None,
    on_step: OnStep | None = None,
    seeds: Tensor | None = None,
    assistance: Assistance | None = None,
) -> tuple[Tensor, Tensor]:
    """Searches the best titles of each prompt, or samples titles without replacement.

    Sampling perturbs the scores with Gumbel noise so that the best are an exact sample of the titles' distribution
    (stochastic beam search, arXiv 1903.06059). With "trie" scores this is the model's distribution over the catalogue.

    Args:
        backbone: The model.
        trie: The titles, on the backbone's device.
        prompts: One prompt per row, int `[length]` each.
        shared: The tokens that all prompts begin with.
        settings: The search's settings.
        excluded: Leaves that a row must not return (its history), int64 `[rows, n]`, -1 = padding.
        on_step: Called after each step; see `OnStep`.
        seeds: The seed of each row's noise, int64 `[rows]`; None searches the best titles.
        assistance: A text-free model whose distribution over titles is mixed into the scores of each step.

    Returns:
        leaves: int64 `[rows, beams]`, best first or in the order in which they were drawn, -1 = no further title.
        scores: float32 `[rows, beams]`, perturbed if titles are sampled; -inf where there is no title.
    """
    session, state_index = open_session(backbone, trie, prompts, shared, settings.appended_tokens(trie))
    state = _start(state_index, settings)
    generated, counts = 0, None
    while True:
        generated += 1
        branched = _step(state, session, trie, settings, excluded, generated, seeds, assistance, counts)
        if on_step is not None:
            on_step(generated, state.node.masked_fill(~state.alive, -1), state.leaf)
        # The host waits for a GPU once for all that it needs to know.
        flags = torch.stack([state.done.all(), branched.any()]).long()
        is_done, is_longer, *counts = torch.cat([flags, continuation_counts(trie, state.node, state.alive)]).tolist()
        if is_done:
            return state.leaf, state.final
        if is_longer:
            _extend_branches(state, session, trie, branched)


def _start(state_index: Tensor, settings: BeamSearch) -> _State:
    root, rows, device = torch.zeros_like(state_index), len(state_index), state_index.device
    leaf = torch.full((rows, settings.beams), -1, device=device)
    final = torch.full((rows, settings.beams), NEGATIVE_INFINITY, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    return _State(root, root.float(), root.float(), root, state_index, leaf, final, done)


def _step(
    state: _State,
    session: Session,
    trie: Trie,
    settings: BeamSearch,
    excluded: Tensor | None,
    generated: int,
    seeds: Tensor | None,
    assistance: Assistance | None,
    counts: Sequence[int] | None,
) -> Tensor:
    """Advances all beams by one token.

    Returns the beams whose new token was not the only valid one, so that the session does not hold it yet.
    """
    beams = settings.beams
    total, child, parent = continuations(
        session,
        trie,
        state.node,
        state.total,
        state.state_index,
        state.alive,
        settings.scores,
        settings.temperature,
        excluded,
        assistance,
        counts,
    )
    score = total if seeds is None else perturbed(total, child, parent, state.score, seeds)
    if settings.scores == "vocab":
        score, order = score.topk(min(2 * beams, score.shape[1]), dim=1)
        total, child, parent = total.gather(1, order), child.gather(1, order), parent.gather(1, order)
    low, high = trie.leaf_low[child].long(), trie.leaf_high[child].long()
    last = high - low == 1 if settings.scores == "trie" else trie.fan_out[child] == 0
    _finish(state, score, low, last, trie, settings, generated)
    live = torch.where(last, NEGATIVE_INFINITY, score)
    live, order = live.topk(min(beams, live.shape[1]), dim=1)
    parent = parent.gather(1, order)
    chosen = trie.fan_out[state.node.gather(1, parent)] > 1
    state.score, state.total, state.node = live, total.gather(1, order), child.gather(1, order)
    state.branch, state.state_index = state.branch.gather(1, parent), state.state_index.gather(1, parent) + 1
    length = _deciding_length(trie, settings, generated)
    can_enter = live / length**settings.length_penalty > state.final.amin(1)[:, None]
    if settings.scores == "trie":
        # Hugging Face's search goes on with beams that cannot enter, which compete with others for a place.
        state.score = live.masked_fill(~can_enter, NEGATIVE_INFINITY)
    state.done |= ~can_enter[:, 0]
    return chosen & state.alive


def _extend_branches(state: _State, session: Session, trie: Trie, branched: Tensor) -> None:
    """Appends the newest token of the beams that branched to the session, together with all forced tokens after it."""
    tokens, lengths = tokens_to_choice(trie, state.node, branched)
    state.state_index = torch.where(branched, session.extend(state.branch, tokens, lengths), state.state_index)
    state.branch = torch.arange(branched.shape[1], device=branched.device).expand_as(state.branch)


def _finish(
    state: _State, score: Tensor, leaf: Tensor, last: Tensor, trie: Trie, settings: BeamSearch, generated: int
) -> None:
    """Merges newly finished titles into the best ones; "vocab" considers only the first `beams` candidates."""
    length: Tensor | int
    if settings.scores == "trie":
        length = trie.leaf_length[leaf].float()
    else:
        length = generated
        last = last & (torch.arange(score.shape[1], device=score.device) < settings.beams)
    final = torch.where(last & ~state.done[:, None], score / length**settings.length_penalty, NEGATIVE_INFINITY)
    merged = torch.cat([state.final, final], dim=1)
    leaves = torch.cat([state.leaf, leaf.masked_fill(final == NEGATIVE_INFINITY, -1)], dim=1)
    state.final, order = merged.topk(settings.beams, dim=1)
    state.leaf = leaves.gather(1, order)


def _deciding_length(trie: Trie, settings: BeamSearch, generated: int) -> int:
    """Returns the length that bounds a live beam's final score, to decide whether it can still enter the list."""
    # A sum is at most 0 and can only decrease, so the bound takes the longest title for a positive penalty and the
    # current length, the shortest possible, for a negative one. "vocab" follows Hugging Face's rule, which always takes
    # the current length.
    return trie.max_length if settings.scores == "trie" and settings.length_penalty > 0 else generated
