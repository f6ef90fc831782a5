"""Recommendations of a trained cell for histories given as titles."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.datasets.data_module import NextItemData
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.training.cells import Cell
from llmrec.training.evaluate_cell import run_device
from llmrec.training.quiet import quiet
from llmrec.training.rankers import open_trained
from llmrec.training.run_cell import quiet_dataset

logger = logging.getLogger(__name__)


def recommend(config: DictConfig, cell: Cell, histories: Sequence[Sequence[str]]) -> list[list[dict[str, Any]]]:
    """For each history of titles, oldest first, the best titles with their score and the ids of their items.

    config: the cell's, with the groups decoding and paths as they should be used. As in training, only the newest
    dataset.max_history titles are used. Raises InputError for a cell that does not fit the data at hand.
    """
    quiet()
    dataset = quiet_dataset(config)
    backbone, data = open_trained(config, dataset, cell)
    backbone.to(run_device(config))
    histories = [list(history)[-config.dataset.max_history :] for history in histories]
    _warn_unknown(histories, data)
    decoding = config.decoding
    settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
    excluded = _leaves(histories, data) if decoding.exclude_history else None
    prompts = data.prompt_tokenizer.histories(histories)
    with tqdm(total=len(prompts), unit="user", disable=len(prompts) < 20) as bar:
        titles, scores = rank_titles(backbone, data.trie, prompts, settings, excluded, bar.update)
    return [_entries(row, row_scores, data) for row, row_scores in zip(titles, scores, strict=True)]


def _entries(titles: np.ndarray, scores: np.ndarray, data: NextItemData) -> list[dict[str, Any]]:
    items = data.dataset.items
    return [
        {
            "title": items.distinct_titles[title],
            "score": round(float(score), 4),
            "items": [items.ids[item] for item in np.flatnonzero(items.title_of == title)],
        }
        for title, score in zip(titles, scores, strict=True)
        if title >= 0
    ]


def _warn_unknown(histories: Sequence[Sequence[str]], data: NextItemData) -> None:
    known = set(data.dataset.items.distinct_titles)
    for title in dict.fromkeys(title for history in histories for title in history if title not in known):
        logger.warning("%r is not in the catalogue of %s; it is used as text", title, data.dataset.name)


def _leaves(histories: Sequence[Sequence[str]], data: NextItemData) -> np.ndarray:
    """int64 [histories, most]: the leaves of the known titles of each history, once each, -1 = padding."""
    index = {title: number for number, title in enumerate(data.dataset.items.distinct_titles)}
    leaf = data.trie.title_leaf.numpy()
    rows = [sorted({int(leaf[index[title]]) for title in history if title in index}) for history in histories]
    table = np.full((len(rows), max(map(len, rows), default=0) or 1), -1, dtype=np.int64)
    for row, leaves in enumerate(rows):
        table[row, : len(leaves)] = leaves
    return table
