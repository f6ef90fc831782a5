"""Ranks candidate lists by generating their identifiers, constrained to a permutation or unconstrained."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.scoring import BATCH_TOKENS, batches_by_length
from llmrec.catalogue.permutations import Permutations
from llmrec.collectives import map_across_ranks
from llmrec.decoding.rank import run_in_batches
from llmrec.decoding.session import CachedSession, PlainSession, Session, SharedPrefix
from llmrec.decoding.unconstrained import generate, text_after
from llmrec.prompts.identifiers import Identifiers
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.rerank import reserved_tokens

Progress = Callable[[int], None]
"""Called with the number of lists of each finished batch."""


def rank_lists(
    backbone: Backbone, trie: Permutations, prompts: Prompts, progress: Progress = lambda done: None
) -> np.ndarray:
    """Ranks the candidates of each list greedily: each position takes the most likely of the unused identifiers.

    Args:
        backbone: The model.
        trie: The permutations of the identifiers.
        prompts: One prompt per list.
        progress: Called with the number of lists of each finished batch.

    Returns:
        Indices of each list's candidates, best first, int64 `[lists, m]`; always a permutation.
    """
    backbone.eval()
    ranked = np.zeros((len(prompts), trie.max_fan_out), dtype=np.int64)
    if len(prompts) == 0:
        return ranked
    trie = trie.to(backbone.device)
    with torch.inference_mode(), backbone.autocast():
        shared = SharedPrefix(backbone, prompts.shared_prefix())

        def run(rows: np.ndarray) -> None:
            ranked[rows] = _greedy_order(backbone, trie, [prompts.of(row) for row in rows], shared).cpu().numpy()
            progress(len(rows))

        run_in_batches(prompts.lengths, backbone, beams=1, appended=trie.max_fan_out, run=run)
    return ranked


@dataclass(frozen=True)
class UnconstrainedRankings:
    """Rankings in texts that are generated without constraints.

    Attributes:
        texts: The texts.
        order: Indices of each list's candidates, best first, int64 `[lists, m]`. Identifiers that are not generated
            within `reserved_tokens` tokens count as missing.
        is_invalid: Whether the text was no permutation of the identifiers or did not end with EOS, bool `[lists]`.
    """

    texts: list[str]
    order: np.ndarray
    is_invalid: np.ndarray


def unconstrained_rankings(
    backbone: Backbone, identifiers: Identifiers, prompts: Prompts, seed: int, progress: Progress = lambda done: None
) -> UnconstrainedRankings:
    """Ranks the candidates of each list by unconstrained greedy generation, parsed by `parse`.

    Args:
        backbone: The model.
        identifiers: The identifiers of the candidates.
        prompts: One prompt per list.
        seed: Of the random order of identifiers that a text does not contain.
        progress: Called with the number of lists of each finished batch.
    """
    max_tokens = reserved_tokens(len(identifiers))
    texts = map_across_ranks(
        len(prompts),
        lambda rows: _unconstrained_texts(backbone, prompts.take(rows), max_tokens, identifiers.end_token, progress),
    )
    parsed = [parse(text, identifiers.texts, np.random.default_rng([seed, row])) for row, (text, _) in enumerate(texts)]
    failed = [invalid or not ended for (_, invalid), (_, ended) in zip(parsed, texts, strict=True)]
    order = np.array([order for order, _ in parsed]).reshape(-1, len(identifiers))
    return UnconstrainedRankings([text for text, _ in texts], order, np.array(failed, dtype=bool))


def _unconstrained_texts(
    backbone: Backbone, prompts: Prompts, max_tokens: int, end_token: int, progress: Progress
) -> list[tuple[str, bool]]:
    """Returns the text generated greedily after each prompt, and whether it ended within `max_tokens`."""
    backbone.eval()
    texts = [("", False)] * len(prompts)
    for rows in batches_by_length(prompts.lengths + max_tokens, BATCH_TOKENS[backbone.device.type]):
        generated = generate(backbone, [prompts.of(row) for row in rows], max_tokens, end_token)
        for row, tokens in zip(rows, generated, strict=True):
            ends = np.flatnonzero(tokens == end_token)
            answer = tokens[: ends[0]] if len(ends) else tokens
            texts[row] = text_after(backbone.tokenizer, prompts.of(row)[-1:], answer), bool(len(ends))
        progress(len(rows))
    return texts


def parse(text: str, identifiers: Sequence[str], generator: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Parses a ranking from generated text: the identifiers in order of their first occurrence.

    Identifiers that do not occur are appended in random order. Source: our reading.

    Args:
        text: The generated text.
        identifiers: The m identifiers as texts, with the blank that separates them, if any.
        generator: Draws the order of the missing identifiers.

    Returns:
        order: Indices of the identifiers, int64 `[m]`.
        invalid: Whether the text is no permutation: an identifier is missing or occurs twice, or there are other words.
    """
    index = {identifier.strip(): number for number, identifier in enumerate(identifiers)}
    # Identifiers that include no blank are written without separators, so every character is a word.
    words = re.findall(r"\w+" if identifiers[0] != identifiers[0].strip() else r"\S", text)
    ranked = list(dict.fromkeys(index[word] for word in words if word in index))
    missing = [number for number in range(len(identifiers)) if number not in ranked]
    order = np.array([*ranked, *generator.permutation(missing)], dtype=np.int64)
    return order, len(words) != len(identifiers) or len(ranked) != len(identifiers)


def _greedy_order(
    backbone: Backbone, trie: Permutations, prompts: Sequence[np.ndarray], shared: SharedPrefix
) -> Tensor:
    """Returns the indices of each row's identifiers, best first, int64 `[rows, m]`."""
    session: Session
    if backbone.uses_plain_path:
        session = PlainSession(backbone, prompts)
    else:
        session = CachedSession(backbone, shared, prompts, columns=trie.max_fan_out)
    state_index = session.start(1)
    identifiers = trie.edge_token[:-1]
    unused = torch.ones((len(prompts), trie.max_fan_out), dtype=torch.bool, device=backbone.device)
    branch, one = torch.zeros_like(state_index), torch.ones_like(state_index)
    chosen: list[Tensor] = []
    for position in range(trie.max_fan_out - 1):
        if position:
            state_index = session.extend(branch, identifiers[chosen[-1]][:, None, None], one)
        logits = session.states(state_index[:, 0]).logits(identifiers)
        chosen.append(logits.masked_fill(~unused, -torch.inf).argmax(1))
        unused = unused.scatter(1, chosen[-1][:, None], False)
    # The last position takes the only unused identifier, which needs no forward pass.
    return torch.stack([*chosen, unused.int().argmax(1)], dim=1)
