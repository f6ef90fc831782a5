"""Relevance of titles to the auxiliary text: their log-probabilities after the history-free prompt.

The history-free prompt is the same for the whole dataset, so relevance is a property of the title, not of a row. It is
cached under a content hash of everything that it depends on: prompt, title tokens, tokenizer and weights.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from llmrec.backbones.array_cache import cached_array, content_hash
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.scoring import log_probabilities
from llmrec.collectives import map_across_ranks

if TYPE_CHECKING:
    from llmrec.examples.next_item import NextItemData

logger = logging.getLogger(__name__)


def title_relevance(
    backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray], cache_dir: Path | None
) -> list[np.ndarray]:
    """Computes log P(y_t | history-free prompt, y_<t) of each title's tokens.

    Source: arXiv 2510.10978 by a secondary source (the probability of the target with the history masked). That it is
    taken over the full vocabulary is our reading.

    Args:
        backbone: The model.
        prompt: The history-free prompt, int `[length]`.
        titles: Tokens of the distinct titles with EOS, int `[length]` each.
        cache_dir: llmrec's cache folder; None computes without a cache.

    Returns:
        float32 `[length]` for each title.

    Raises:
        InputError: If the cached file is damaged or belongs to other inputs.
    """
    if cache_dir is None:
        return _compute(backbone, prompt, titles)
    lengths = np.array([len(title) for title in titles])
    relevance = cached_array(
        cache_dir / "relevance",
        content_hash(backbone, (prompt, *titles)),
        (int(lengths.sum()),),
        lambda: np.concatenate(_compute(backbone, prompt, titles)),
        "relevance",
    )
    return np.split(relevance, np.cumsum(lengths)[:-1])


def catalogue_relevance(backbone: Backbone, data: "NextItemData", cache_dir: Path | None) -> list[np.ndarray]:
    """Computes `title_relevance` for all distinct titles of a dataset, in order.

    Args:
        backbone: The model.
        data: The dataset for the backbone's tokenizer.
        cache_dir: llmrec's cache folder; None computes without a cache.
    """
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    return title_relevance(backbone, data.prompt_tokenizer.without_history(), titles, cache_dir)


def _compute(backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray]) -> list[np.ndarray]:
    logger.info("relevance of %s titles to the prompt without history", f"{len(titles):,}")
    with tqdm(total=len(titles), desc="relevance", unit="title", leave=False, disable=None) as bar:
        return map_across_ranks(
            len(titles),
            lambda rows: log_probabilities(
                backbone, [prompt] * len(rows), [titles[title] for title in rows], len(prompt) - 1, bar.update
            ),
        )
