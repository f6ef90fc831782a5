"""Trie-constrained beam search: the best titles for a batch of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.catalogue.trie import Trie, segment_logsumexp
from llmrec.decoding.session import CachedSession, PlainSession, SharedPrefix

NEVER = float("-inf")


@dataclass(frozen=True)
class BeamSearch:
    """How titles are scored and searched.

    scores: "vocab", log-softmax over the vocabulary, then the constraint (what a Hugging Face prefix constraint does);
    "trie", the constraint first (matches MSL's training). A title's score is sum / length^length_penalty, length in
    tokens with EOS. Both modes follow Hugging Face's beam search (early_stopping=False); with trie scores a beam is
    finished where its title is unique, for the rest adds zero.
    """

    beams: int = 10
    scores: Literal["trie", "vocab"] = "trie"
    length_penalty: float = 0.0


@dataclass
class _State:
    """Live beams and finished titles of every row; all [rows, beams] unless said otherwise."""

    node: Tensor
    score: Tensor
    leaf: Tensor
    """Finished titles as leaves, -1 where none."""
    final: Tensor
    """Their scores, -inf where none."""
    done: Tensor
    """bool [rows]: nothing live can still enter the finished."""


@torch.inference_mode()
def search(
    backbone: Backbone,
    trie: Trie,
    prompts: Sequence[np.ndarray],
    shared: SharedPrefix,
    settings: BeamSearch,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The best titles of each prompt: leaves int64 [rows, beams], best first, -1 = no more, and their scores.

    prompts: int [length] each; shared: what they all begin with; trie: on the backbone's device; excluded: int64
    [rows, n] leaves that a row must not get (its history), -1 = padding.
    """
    forced = trie.forced_prefix
    prompts = [np.concatenate([prompt, forced]) for prompt in prompts]
    session: CachedSession | PlainSession
    if backbone.plain:
        session = PlainSession(backbone, prompts)
    else:
        session = CachedSession(backbone, shared, prompts, settings.beams * int(trie.leaf_length.max()))
    encoded = session.prefill(len(forced) + 1)
    state = _start(len(prompts), trie, settings, _forced_score(encoded, forced, len(prompts), settings))
    encoded = encoded[len(forced) :: len(forced) + 1]
    generated = len(forced)
    while True:
        generated += 1
        tokens, parent = _step(state, encoded, trie, settings, excluded, generated)
        if bool(state.done.all()):
            return state.leaf, state.final
        encoded = session.extend(tokens, parent)


def _start(rows: int, trie: Trie, settings: BeamSearch, score: Tensor) -> _State:
    node = torch.full((rows, 1), trie.walk(trie.forced_prefix), device=score.device)
    leaf = torch.full((rows, settings.beams), -1, device=score.device)
    final = torch.full((rows, settings.beams), NEVER, device=score.device)
    return _State(node, score[:, None], leaf, final, torch.zeros(rows, dtype=torch.bool, device=score.device))


def _forced_score(encoded: Encoded, forced: np.ndarray, rows: int, settings: BeamSearch) -> Tensor:
    if settings.scores == "trie" or len(forced) == 0:
        return torch.zeros(rows, device=encoded.device)
    log_probs = encoded.logits().log_softmax(-1).unflatten(0, (rows, -1))[:, :-1]
    tokens = torch.from_numpy(forced.astype(np.int64)).to(log_probs.device)
    return log_probs.gather(2, tokens.expand(rows, -1)[:, :, None]).sum((1, 2))


def _step(
    state: _State, encoded: Encoded, trie: Trie, settings: BeamSearch, excluded: Tensor | None, generated: int
) -> tuple[Tensor, Tensor]:
    """Moves the state one token on; returns the tokens to feed and the beams that they continue."""
    beams = settings.beams
    score, child, parent = _candidates(state, encoded, trie, settings, excluded)
    score, order = score.topk(min(2 * beams, score.shape[1]), dim=1)
    child, parent = child.gather(1, order), parent.gather(1, order)
    low, high = trie.leaf_low[child].long(), trie.leaf_high[child].long()
    last = high - low == 1 if settings.scores == "trie" else trie.fan_out[child] == 0
    _finish(state, score, low, last, trie, settings, generated)
    live = torch.where(last, NEVER, score)
    live, order = live.topk(min(beams, live.shape[1]), dim=1)
    state.score, state.node = live, child.gather(1, order)
    best = live[:, 0] / generated**settings.length_penalty
    state.done |= (live[:, 0] == NEVER) | ~(best > state.final.amin(1))
    # A node other than the root is reached by the edge before it.
    tokens = trie.edge_token[(state.node - 1).clamp(min=0)].long()
    return tokens, parent.gather(1, order)


def _candidates(
    state: _State, encoded: Encoded, trie: Trie, settings: BeamSearch, excluded: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """All continuations of all live beams: scores, nodes and parents, [rows, most continuations of a row]."""
    rows, beams = state.node.shape
    alive = (state.score > NEVER) & ~state.done[:, None]
    at = torch.nonzero(alive.flatten())[:, 0]
    owner, edge = trie.children(state.node.flatten()[at])
    step_score = _edge_scores(
        encoded[at], owner, edge, trie, settings, _dead(trie, edge + 1, at[owner] // beams, excluded)
    )
    source = at[owner]
    row = source // beams
    per_row = torch.bincount(row, minlength=rows)
    column = torch.arange(len(row), device=row.device) - (per_row.cumsum(0) - per_row)[row]
    width = max(int(per_row.max()), 1)
    score = torch.full((rows, width), NEVER, device=row.device)
    child, parent = torch.zeros((2, rows, width), dtype=torch.long, device=row.device)
    score[row, column] = state.score.flatten()[source] + step_score
    child[row, column], parent[row, column] = edge + 1, source % beams
    return score, child, parent


def _edge_scores(
    encoded: Encoded, owner: Tensor, edge: Tensor, trie: Trie, settings: BeamSearch, dead: Tensor | None
) -> Tensor:
    """Log-probability of each edge given its node, -inf where every title behind it is excluded."""
    token = trie.edge_token[edge].long()
    if settings.scores == "vocab":
        logits = encoded.logits()
        score = logits[owner, token] - logits.logsumexp(-1)[owner]
        return score if dead is None else score.masked_fill(dead, NEVER)
    asked, column = torch.unique(token, return_inverse=True)
    score = encoded.logits(asked)[owner, column]
    if dead is not None:
        score = score.masked_fill(dead, NEVER)
    return score - segment_logsumexp(score, owner, len(encoded))[owner]


def _dead(trie: Trie, node: Tensor, row: Tensor, excluded: Tensor | None) -> Tensor | None:
    if excluded is None:
        return None
    low, high = trie.leaf_low[node].long(), trie.leaf_high[node].long()
    inside = (excluded[row] >= low[:, None]) & (excluded[row] < high[:, None])
    return inside.sum(1) == high - low


def _finish(
    state: _State, score: Tensor, leaf: Tensor, last: Tensor, trie: Trie, settings: BeamSearch, generated: int
) -> None:
    """Keeps the best finished titles; a finished candidate counts only among the first `beams`."""
    first = torch.arange(score.shape[1], device=score.device) < settings.beams
    length = trie.leaf_length[leaf].float() if settings.scores == "trie" else torch.tensor(float(generated))
    final = torch.where(last & first & ~state.done[:, None], score / length**settings.length_penalty, NEVER)
    merged = torch.cat([state.final, final], dim=1)
    leaves = torch.cat([state.leaf, leaf.masked_fill(final == NEVER, -1)], dim=1)
    state.final, order = merged.topk(settings.beams, dim=1)
    state.leaf = leaves.gather(1, order)
