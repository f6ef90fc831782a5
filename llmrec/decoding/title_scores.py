"""Log-probabilities of given titles after a prompt."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY, all_excluded, edge_scores

BATCH_TOKENS = 512
"""Number of title tokens that are scored at once: 256 MiB of float32 logits with a vocabulary of 128,000."""


@torch.inference_mode()
def title_log_probabilities(
    backbone: Backbone,
    trie: Trie,
    titles: TitleTokens,
    prompt: np.ndarray,
    chosen: np.ndarray,
    scores: Literal["trie", "vocab"],
    excluded: np.ndarray | None = None,
    temperature: float = 1.0,
) -> np.ndarray:
    """Computes the sum of the log-probabilities of the tokens of titles, EOS included.

    Args:
        backbone: The model.
        trie: The trie of the titles.
        titles: The tokens of the catalogue's titles.
        prompt: The prompt, int `[length]`.
        chosen: The titles to score, int `[n]`.
        scores: See `edge_scores`.
        excluded: Leaves that must not be given, int64 `[leaves]`; None excludes none.
        temperature: See `edge_scores`.

    Returns:
        float64 `[n]`; -inf for excluded titles.
    """
    backbone.eval()
    trie = trie.to(backbone.device)
    leaves = None if excluded is None else torch.from_numpy(excluded).to(backbone.device)
    with backbone.autocast():
        scored = [
            _scored(backbone, trie, prompt, batch, scores, leaves, temperature)
            for batch in _batches([titles.of(title).astype(np.int64) for title in chosen])
        ]
    found = np.concatenate([np.zeros(0), *scored])
    if excluded is not None:
        # Where all titles below a node are excluded, trie scores are undefined.
        found[np.isin(trie.title_leaf.cpu().numpy()[chosen], excluded)] = NEGATIVE_INFINITY
    return found


def _batches(titles: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yields successive titles with at most BATCH_TOKENS tokens together, or a longer one alone."""
    batch: list[np.ndarray] = []
    for title in titles:
        if batch and sum(map(len, batch)) + len(title) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(title)
    if batch:
        yield batch


def _scored(
    backbone: Backbone,
    trie: Trie,
    prompt: np.ndarray,
    titles: list[np.ndarray],
    scores: Literal["trie", "vocab"],
    excluded: Tensor | None,
    temperature: float,
) -> np.ndarray:
    packed, (starts,) = pack([prompt], [[title[:-1] for title in titles]])
    columns = [predictor_columns(start, np.arange(len(title))) for start, title in zip(starts, titles, strict=True)]
    paths = [_path(trie, torch.from_numpy(title).to(backbone.device)) for title in titles]
    before = torch.cat([torch.cat([path.new_zeros(1), path[:-1] + 1]) for path in paths])
    # Of titles that share a beginning, the states at its nodes are equal: any of them represents all.
    node, place = torch.unique(before, return_inverse=True)
    position = torch.zeros_like(node).scatter_(0, place, torch.arange(len(place), device=place.device))
    index = torch.from_numpy(np.concatenate(columns)).to(backbone.device)[position]
    encoded = backbone.encode(packed.to(backbone.device), index)
    owner, edge = trie.children(node)
    without = None if excluded is None else all_excluded(trie, edge + 1, excluded.expand(len(edge), -1))
    step = edge_scores(encoded, owner, edge, trie, scores, without, temperature)
    tokens = step[torch.searchsorted(edge, torch.cat(paths))].double().cpu().numpy()
    ends = np.cumsum([len(title) for title in titles])
    return np.array([part.sum() for part in np.split(tokens, ends[:-1])])


def _path(trie: Trie, tokens: Tensor) -> Tensor:
    """Returns the edges of a title, int64 `[length]`; edge e leads to node e + 1."""
    edges, node = list[Tensor](), tokens.new_zeros(1)
    for token in tokens.split(1):
        edges.append(trie.edges(node, token))
        node = edges[-1] + 1
    return torch.cat(edges)
