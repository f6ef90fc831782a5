"""Relevance to the auxiliary text: how likely a title is after the prompt without any history, computed once.

The history-free prompt is one for the whole dataset, so relevance belongs to a title, not to a row. Kept by the content
of everything that it depends on: prompt, titles as tokens, tokenizer, weights.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.kept import content_hash, kept
from llmrec.backbones.ranks import divided
from llmrec.backbones.scoring import log_probabilities

if TYPE_CHECKING:
    from llmrec.datasets.data_module import NextItemData

logger = logging.getLogger(__name__)


def title_relevance(
    backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray], cache_dir: Path | None
) -> list[np.ndarray]:
    """log P(y_t | history-free prompt, y_<t) of each title's tokens under the backbone: float32 [length] each.

    prompt: int [length]; titles: int [length] each, distinct, with EOS; cache_dir: None computes it anew. Raises
    InputError for a cached file that is damaged or is not of what its name says. Source: arXiv 2510.10978 by a
    secondary source (the probability of the target with the history masked); full vocabulary: our reading.
    """
    if cache_dir is None:
        return _compute(backbone, prompt, titles)
    lengths = np.array([len(title) for title in titles])
    found = kept(
        cache_dir / "relevance",
        content_hash(backbone, (prompt, *titles)),
        (int(lengths.sum()),),
        lambda: np.concatenate(_compute(backbone, prompt, titles)),
        "relevance",
    )
    return np.split(found, np.cumsum(lengths)[:-1])


def catalogue_relevance(backbone: Backbone, data: "NextItemData", cache_dir: Path | None) -> list[np.ndarray]:
    """`title_relevance` of every distinct title of a dataset, in their order; data: for the backbone's tokenizer."""
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    return title_relevance(backbone, data.prompt_tokenizer.histories([[]]).of(0), titles, cache_dir)


def _compute(backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray]) -> list[np.ndarray]:
    logger.info("relevance of %s titles to the prompt without history", f"{len(titles):,}")
    with tqdm(total=len(titles), desc="relevance", unit="title", leave=False, disable=None) as bar:
        return divided(
            len(titles),
            lambda mine: log_probabilities(
                backbone, [prompt] * len(mine), [titles[title] for title in mine], len(prompt) - 1, bar.update
            ),
        )
