"""Trie-constrained beam search: the best titles for a batch of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie
from llmrec.decoding.edge_scores import NEVER, all_excluded, edge_scores
from llmrec.decoding.session import CachedSession, PlainSession, Session, SharedPrefix


@dataclass(frozen=True)
class BeamSearch:
    """How titles are scored and searched.

    scores: "vocab", log-softmax over the vocabulary, then the constraint (what a Hugging Face prefix constraint does);
    "trie", the constraint first (matches MSL's training). A title's score is sum / length^length_penalty, length in
    tokens with EOS. Live beams are compared by their sums.

    "vocab" follows Hugging Face's beam search (early_stopping=False). With "trie" a beam is finished where its title is
    unique, for the rest adds zero; its final score is then known, so every finished title competes for a place in the
    list, and the search goes on while a live beam could still enter it.
    """

    beams: int = 10
    scores: Literal["trie", "vocab"] = "trie"
    length_penalty: float = 0.0

    def appended_tokens(self, trie: Trie) -> int:
        """Returns how many tokens all beams of a prompt append to it, to size caches.

        On a GPU that is enough for nineteen titles of twenty, and caches grow where it is not: room for the longest
        title would be ten times what most need. With trie scores a title is read up to where it is unique. On a CPU
        memory that is not used costs nothing, and there is room for the longest.
        """
        if trie.leaf_length.device.type == "cpu":
            return self.beams * trie.longest
        depths = trie.unique_depth if self.scores == "trie" else trie.leaf_length
        return self.beams * int(np.ceil(np.quantile(depths.cpu().numpy(), 0.95)))


@dataclass
class _State:
    """Live beams and finished titles of every row; all [rows, beams] unless said otherwise."""

    node: Tensor
    score: Tensor
    branch: Tensor
    """Which branch of the session a beam continues."""
    place: Tensor
    """Where the session keeps the state of a beam's newest token."""
    leaf: Tensor
    """Finished titles as leaves, -1 where none."""
    final: Tensor
    """Their scores, -inf where none."""
    done: Tensor
    """bool [rows]: nothing live can still enter the finished."""

    @property
    def alive(self) -> Tensor:
        """bool [rows, beams]: what the search goes on with."""
        return (self.score > NEVER) & ~self.done[:, None]


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
    forced = trie.forced(torch.zeros(1, dtype=torch.long, device=backbone.device))[0][0].cpu().numpy()
    prompts = [np.concatenate([prompt, forced]) for prompt in prompts]
    session: Session
    if backbone.plain:
        session = PlainSession(backbone, prompts)
    else:
        session = CachedSession(backbone, shared, prompts, settings.appended_tokens(trie))
    state = _start(session.start(1 + len(forced)), settings)
    generated = 0
    while True:
        generated += 1
        branched = _step(state, session, trie, settings, excluded, generated)
        if bool(state.done.all()):
            return state.leaf, state.final
        if bool(branched.any()):
            _feed(state, session, trie, branched)


def _start(place: Tensor, settings: BeamSearch) -> _State:
    root = torch.zeros_like(place)
    leaf = torch.full((len(place), settings.beams), -1, device=place.device)
    final = torch.full((len(place), settings.beams), NEVER, device=place.device)
    done = torch.zeros(len(place), dtype=torch.bool, device=place.device)
    return _State(root, root.float(), root, place, leaf, final, done)


def _step(
    state: _State, session: Session, trie: Trie, settings: BeamSearch, excluded: Tensor | None, generated: int
) -> Tensor:
    """Moves the state one token on; returns which beams took a choice, so that the model has not seen their token."""
    beams = settings.beams
    score, child, parent = _candidates(state, session, trie, settings, excluded)
    if settings.scores == "vocab":
        score, order = score.topk(min(2 * beams, score.shape[1]), dim=1)
        child, parent = child.gather(1, order), parent.gather(1, order)
    low, high = trie.leaf_low[child].long(), trie.leaf_high[child].long()
    last = high - low == 1 if settings.scores == "trie" else trie.fan_out[child] == 0
    _finish(state, score, low, last, trie, settings, generated)
    live = torch.where(last, NEVER, score)
    live, order = live.topk(min(beams, live.shape[1]), dim=1)
    parent = parent.gather(1, order)
    chosen = trie.fan_out[state.node.gather(1, parent)] > 1
    state.score, state.node = live, child.gather(1, order)
    state.branch, state.place = state.branch.gather(1, parent), state.place.gather(1, parent) + 1
    best = live[:, 0] / _deciding_length(trie, settings, generated) ** settings.length_penalty
    state.done |= (live[:, 0] == NEVER) | ~(best > state.final.amin(1))
    return chosen & state.alive


def _feed(state: _State, session: Session, trie: Trie, branched: Tensor) -> None:
    """Runs the newest token of the beams that branched through the model, and at once all that is forced after it."""
    node = state.node[branched]
    # A node other than the root is reached by the edge before it.
    forced, count = trie.forced(node)
    fed = torch.cat([trie.edge_token[node - 1].long()[:, None], forced], dim=1)
    tokens = torch.zeros((*branched.shape, fed.shape[1]), dtype=torch.long, device=node.device)
    tokens[branched] = fed
    lengths = torch.zeros_like(state.node)
    lengths[branched] = count + 1
    state.place = torch.where(branched, session.extend(state.branch, tokens, lengths), state.place)
    state.branch = torch.arange(branched.shape[1], device=node.device).expand_as(state.branch)


def _candidates(
    state: _State, session: Session, trie: Trie, settings: BeamSearch, excluded: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """All continuations of all live beams: scores, nodes and parents, [rows, most continuations of a row]."""
    rows, beams = state.node.shape
    at = torch.nonzero(state.alive.flatten())[:, 0]
    owner, edge = trie.children(state.node.flatten()[at])
    dead = None if excluded is None else all_excluded(trie, edge + 1, excluded[at[owner] // beams])
    step_score = edge_scores(session.states(state.place.flatten()[at]), owner, edge, trie, settings.scores, dead)
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


def _finish(
    state: _State, score: Tensor, leaf: Tensor, last: Tensor, trie: Trie, settings: BeamSearch, generated: int
) -> None:
    """Keeps the best finished titles: with vocab scores only of those that are among the first `beams` candidates."""
    length: Tensor | int
    if settings.scores == "trie":
        length = trie.leaf_length[leaf].float()
    else:
        length = generated
        last = last & (torch.arange(score.shape[1], device=score.device) < settings.beams)
    final = torch.where(last & ~state.done[:, None], score / length**settings.length_penalty, NEVER)
    merged = torch.cat([state.final, final], dim=1)
    leaves = torch.cat([state.leaf, leaf.masked_fill(final == NEVER, -1)], dim=1)
    state.final, order = merged.topk(settings.beams, dim=1)
    state.leaf = leaves.gather(1, order)


def _deciding_length(trie: Trie, settings: BeamSearch, generated: int) -> int:
    """The length by which a live beam's sum is divided to decide whether it can still enter the finished titles."""
    # A sum is at most 0 and can only fall, so a positive penalty favours the longest title and a negative one the
    # shortest. Hugging Face's rule, which vocab scores follow, takes the length so far.
    return trie.longest if settings.scores == "trie" and settings.length_penalty > 0 else generated
