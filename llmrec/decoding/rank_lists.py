"""Ranks the candidates of lists: by a ranking that is held to a permutation of the identifiers, or by free text."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.ranks import divided
from llmrec.backbones.scoring import COLUMNS, batches_by_length
from llmrec.catalogue.permutations import Permutations
from llmrec.datasets.identifiers import Identifiers
from llmrec.datasets.list_prompts import ranking_room
from llmrec.datasets.prompts import Prompts
from llmrec.decoding.rank import run_in_batches
from llmrec.decoding.session import CachedSession, PlainSession, Session, SharedPrefix
from llmrec.decoding.unconstrained import greedy, text_after

Told = Callable[[int], None]


def rank_lists(
    backbone: Backbone, trie: Permutations, prompts: Prompts, progress: Told = lambda done: None
) -> np.ndarray:
    """The places of each list's candidates, best first: int64 [lists, m], always a permutation.

    Greedy: each slot takes the most likely of the identifiers that are left. progress is told the lists of each
    finished batch.
    """
    backbone.eval()
    ranked = np.zeros((len(prompts), trie.widest), dtype=np.int64)
    if len(prompts) == 0:
        return ranked
    trie = trie.to(backbone.device)
    with torch.inference_mode(), backbone.autocast():
        shared = SharedPrefix(backbone, prompts.shared_prefix())

        def run(rows: np.ndarray) -> None:
            ranked[rows] = _greedy_order(backbone, trie, [prompts.of(row) for row in rows], shared).cpu().numpy()
            progress(len(rows))

        run_in_batches(prompts.lengths, backbone, beams=1, appended=trie.widest, run=run)
    return ranked


def free_rankings(
    backbone: Backbone, identifiers: Identifiers, prompts: Prompts, seed: int, progress: Told = lambda done: None
) -> tuple[np.ndarray, np.ndarray]:
    """Rankings of greedy generation without any constraint, as `parse` reads them, and which were no permutation.

    Returns int64 [lists, m] and bool [lists]. What is not named within `ranking_room` tokens is missing. progress as in
    `rank_lists`.
    """
    longest = ranking_room(len(identifiers))
    texts = divided(len(prompts), lambda mine: _free_texts(backbone, prompts.take(mine), longest, progress))
    parsed = [parse(text, identifiers.texts, np.random.default_rng([seed, row])) for row, (text, _) in enumerate(texts)]
    failed = [departs or not ended for (_, departs), (_, ended) in zip(parsed, texts, strict=True)]
    return np.array([order for order, _ in parsed]).reshape(-1, len(identifiers)), np.array(failed, dtype=bool)


def _free_texts(backbone: Backbone, prompts: Prompts, longest: int, progress: Told) -> list[tuple[str, bool]]:
    """What greedy generation says after each prompt, and whether it came to an end within `longest` tokens."""
    backbone.eval()
    texts = [("", False)] * len(prompts)
    for rows in batches_by_length(prompts.lengths + longest, COLUMNS[backbone.device.type]):
        generated = greedy(backbone, [prompts.of(row) for row in rows], longest)
        for row, tokens in zip(rows, generated, strict=True):
            ends = np.flatnonzero(tokens == backbone.tokenizer.eos_token_id)
            said = tokens[: ends[0]] if len(ends) else tokens
            texts[row] = text_after(backbone.tokenizer, prompts.of(row)[-1:], said), bool(len(ends))
        progress(len(rows))
    return texts


def parse(text: str, identifiers: Sequence[str], generator: np.random.Generator) -> tuple[np.ndarray, bool]:
    """The ranking that a text gives, int64 [m]: identifiers in the order of their first occurrence.

    Missing ones are appended in a random order. Also returns whether that departs from the text: one is missing, comes
    twice, or the text holds other words. The rule is ours.
    """
    place = {mark.strip(): number for number, mark in enumerate(identifiers)}
    # Identifiers without a blank are written one behind the other.
    words = re.findall(r"\w+" if identifiers[0] != identifiers[0].strip() else r"\S", text)
    named = [place[word] for word in words if word in place]
    first = list(dict.fromkeys(named))
    missing = [number for number in range(len(identifiers)) if number not in first]
    order = np.array([*first, *generator.permutation(missing)], dtype=np.int64)
    return order, len(words) != len(identifiers) or len(first) != len(identifiers)


def _greedy_order(
    backbone: Backbone, trie: Permutations, prompts: Sequence[np.ndarray], shared: SharedPrefix
) -> Tensor:
    """int64 [rows, m] places."""
    session: Session
    if backbone.plain:
        session = PlainSession(backbone, prompts)
    else:
        session = CachedSession(backbone, shared, prompts, columns=trie.widest)
    place = session.start(1)
    identifiers = trie.edge_token[:-1]
    left = torch.ones((len(prompts), trie.widest), dtype=torch.bool, device=backbone.device)
    branch, one = torch.zeros_like(place), torch.ones_like(place)
    chosen: list[Tensor] = []
    for slot in range(trie.widest - 1):
        if slot:
            place = session.extend(branch, identifiers[chosen[-1]][:, None, None], one)
        logits = session.states(place[:, 0]).logits(identifiers)
        chosen.append(logits.masked_fill(~left, -torch.inf).argmax(1))
        left = left.scatter(1, chosen[-1][:, None], False)
    # For the last slot one is left; no model need be asked.
    return torch.stack([*chosen, left.int().argmax(1)], dim=1)
