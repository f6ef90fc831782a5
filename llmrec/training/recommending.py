"""Recommends titles with a trained run, for histories given as titles."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset
from llmrec.errors import shortened
from llmrec.tasks.base import build_task
from llmrec.training.open_dataset import read_dataset
from llmrec.training.open_run import open_ranker
from llmrec.training.quiet import silence_libraries
from llmrec.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


def recommend(config: DictConfig, run: RunFolder, histories: Sequence[Sequence[str]]) -> list[list[dict[str, Any]]]:
    """Recommends titles for each history.

    Args:
        config: The run's config, with the decoding settings and paths to use.
        run: The run's folder.
        histories: Titles, oldest first; only the newest dataset.max_history titles are used, as in training.

    Returns:
        For each history, the best titles first, each with `title`, `score` and `items` (the ids of its items).

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    silence_libraries()
    dataset = read_dataset(config)
    histories = [list(history)[-config.dataset.max_history :] for history in histories]
    ranker = open_ranker(config, dataset, run, build_task(config))
    _warn_unknown(histories, dataset)
    with tqdm(total=len(histories), unit="user", disable=len(histories) < 20) as bar:
        titles, scores = ranker.rank_histories(histories, bar.update)
    return [_entries(row, row_scores, dataset.items) for row, row_scores in zip(titles, scores, strict=True)]


def _entries(titles: np.ndarray, scores: np.ndarray, items: Items) -> list[dict[str, Any]]:
    return [
        {
            "title": items.distinct_titles[title],
            "score": round(float(score), 4),
            "items": [items.ids[item] for item in np.flatnonzero(items.title_of == title)],
        }
        for title, score in zip(titles, scores, strict=True)
        if title >= 0
    ]


def _warn_unknown(histories: Sequence[Sequence[str]], dataset: Dataset) -> None:
    known = set(dataset.items.distinct_titles)
    for title in dict.fromkeys(title for history in histories for title in history if title not in known):
        reading = "a language model reads it as text, a baseline ignores it"
        if dataset.items.tokens is not None:
            reading = "it has no tokens and is left out of the history"
        logger.warning("%r is not in the catalogue of %s; %s", shortened(title), dataset.name, reading)
