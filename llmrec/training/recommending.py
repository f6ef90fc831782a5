"""Recommends titles with a trained run, for histories given as titles."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.backbones.device import run_device
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import pad_leaves, rank_titles
from llmrec.examples.next_item import NextItemData
from llmrec.training.open_dataset import quiet_dataset
from llmrec.training.quiet import quiet
from llmrec.training.rankers import ModelRanker, open_ranker
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
    quiet()
    dataset = quiet_dataset(config)
    histories = [list(history)[-config.dataset.max_history :] for history in histories]
    ranker = open_ranker(config, dataset, run, str(run_device(config.trainer)))
    with tqdm(total=len(histories), unit="user", disable=len(histories) < 20) as bar:
        if isinstance(ranker, ModelRanker):
            _warn_unknown(histories, dataset, "it is used as text")
            titles, scores = _by_text(ranker, histories, bar.update)
        else:
            _warn_unknown(histories, dataset, "a baseline leaves it out")
            titles, scores = ranker.rank(_rows(histories, dataset.items), "test", bar.update)
    return [_entries(row, row_scores, dataset.items) for row, row_scores in zip(titles, scores, strict=True)]


def _by_text(
    ranker: ModelRanker, histories: Sequence[Sequence[str]], progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    data, decoding = ranker.data, ranker.decoding
    settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
    excluded = _leaves(histories, data) if decoding.exclude_history else None
    prompts = data.prompt_tokenizer.histories(histories)
    return rank_titles(ranker.backbone, data.trie, prompts, settings, excluded, progress)


def _rows(histories: Sequence[Sequence[str]], items: Items) -> Rows:
    """Returns rows with the first item of each known title; targets and timestamps are placeholders."""
    first = {title: item for item, title in reversed(list(enumerate(items.titles)))}
    known = [[first[title] for title in history if title in first] for history in histories]
    count = len(known)
    return Rows(
        user=np.full(count, ""),
        history=np.array([item for history in known for item in history], dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum([len(history) for history in known])]).astype(np.int64),
        target=np.zeros(count, dtype=np.int32),
        timestamp=np.zeros(count, dtype=np.int64),
    )


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


def _warn_unknown(histories: Sequence[Sequence[str]], dataset: Dataset, consequence: str) -> None:
    known = set(dataset.items.distinct_titles)
    for title in dict.fromkeys(title for history in histories for title in history if title not in known):
        logger.warning("%r is not in the catalogue of %s; %s", title, dataset.name, consequence)


def _leaves(histories: Sequence[Sequence[str]], data: NextItemData) -> np.ndarray:
    """Returns the trie leaves of each history's known titles, padded by `pad_leaves`, int64 `[histories, length]`."""
    index = {title: number for number, title in enumerate(data.dataset.items.distinct_titles)}
    known = [(row, index[title]) for row, history in enumerate(histories) for title in history if title in index]
    row, title = np.array(known, dtype=np.int64).reshape(-1, 2).T
    return pad_leaves(row, data.trie.title_leaf.numpy()[title], len(histories))
