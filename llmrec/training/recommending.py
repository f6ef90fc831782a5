"""Recommends titles with a trained run, for histories given as titles."""

import difflib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

from llmrec.catalogue.items import Items
from llmrec.decoding.title_scores import title_log_probabilities
from llmrec.errors import InputError, shortened
from llmrec.tasks.base import Progress, build_task
from llmrec.training.open_run import open_ranker, run_dataset
from llmrec.training.quiet import silence_libraries
from llmrec.training.run_folder import RunFolder

NAMED_TITLES = 20
"""Number of unknown titles that are warned of by name."""
NEAR_TITLES = 3
"""Number of similar titles that are suggested for an unknown one, and of unknown ones that get suggestions in warnings:
with 20,000 titles in the catalogue, each takes 0.2 seconds."""
Recommendations = list[dict[str, Any]]
"""The best titles for a history, best first, each with `title`, `score` and `items` (the ids of its items)."""
logger = logging.getLogger(__name__)


class Recommender:
    """A trained run that recommends titles. What does not depend on histories is loaded once."""

    def __init__(self, config: DictConfig, run: RunFolder) -> None:
        """Opens the run.

        Args:
            config: The run's config, with the decoding settings and paths to use.
            run: The run's folder.

        Raises:
            InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
        """
        silence_libraries()
        self.config, self.run = config, run
        self.dataset = run_dataset(config, run)
        self.max_history = int(config.dataset.max_history)
        self.ranker = open_ranker(config, self.dataset, run, build_task(config))
        self.ids = _ids_of_titles(self.dataset.items)
        self.warned: set[str] = set()

    def recommend(
        self, histories: Sequence[Sequence[str]], progress: Progress = lambda done: None
    ) -> list[Recommendations]:
        """Recommends titles for each history.

        Args:
            histories: Titles, oldest first; only the newest dataset.max_history titles are used, as in training.
            progress: Called with numbers of finished histories.
        """
        newest = self._newest(histories)
        titles, scores = self.ranker.rank_histories(newest, progress)
        return [
            [self._entry(title, score) for title, score in zip(row, row_scores, strict=True) if title >= 0]
            for row, row_scores in zip(titles.tolist(), scores.tolist(), strict=True)
        ]

    def log_probabilities(self, history: Sequence[str], titles: Sequence[str]) -> np.ndarray:
        """Computes the log-probability of titles after a history, with a language model that beam search decodes.

        Args:
            history: Titles, oldest first.
            titles: Titles of the catalogue.

        Returns:
            float64 `[titles]`.

        Raises:
            InputError: A title is not in the catalogue.
        """
        items = self.dataset.items
        for title in titles:
            if title not in items.first_item:
                raise InputError(
                    f"{shortened(title)!r} is not in the catalogue of {self.dataset.name}{self._near(title)}"
                )
        newest, data, decoder = self._newest([history]), self.ranker.data, self.ranker.decoder
        prompt = data.prompt_tokenizer.histories(newest, cached=False).of(0)
        excluded = self.ranker.leaves(newest)[0] if decoder.exclude_history else None
        chosen = items.title_of[[items.first_item[title] for title in titles]].astype(np.int64)
        scores, temperature = decoder.settings.scores, decoder.settings.temperature
        return title_log_probabilities(
            self.ranker.backbone, data.trie, data.titles, prompt, chosen, scores, excluded, temperature
        )

    def _newest(self, histories: Sequence[Sequence[str]]) -> list[list[str]]:
        """Returns the titles of each history that are used, after a warning of those that are unknown."""
        newest = [list(history)[-self.max_history :] for history in histories]
        self._warn_unknown(newest)
        return newest

    def _near(self, title: str) -> str:
        """Returns a question that names similar titles of the catalogue, or "" if there are none."""
        near = difflib.get_close_matches(title, self.dataset.items.distinct_titles, NEAR_TITLES)
        return f". Did you mean {' or '.join(repr(shortened(other)) for other in near)}?" if near else ""

    def _entry(self, title: int, score: float) -> dict[str, Any]:
        return {
            "title": self.dataset.items.distinct_titles[title],
            "score": round(score, 4),
            "items": self.ids[title],
        }

    def _warn_unknown(self, histories: Sequence[Sequence[str]]) -> None:
        """Warns of titles that are not in the catalogue: of each once, and by name only of the first ones."""
        known = self.dataset.items.first_item
        for title in dict.fromkeys(title for history in histories for title in history if title not in known):
            if title in self.warned or len(self.warned) > NAMED_TITLES:
                continue
            self.warned.add(title)
            if len(self.warned) > NAMED_TITLES:
                logger.warning("further titles are not in the catalogue of %s", self.dataset.name)
                continue
            reading = "a language model reads it as text, a baseline ignores it"
            if self.dataset.items.tokens is not None:
                reading = "it has no tokens and is left out of the history"
            near = self._near(title) if len(self.warned) <= NEAR_TITLES else ""
            logger.warning("%r is not in the catalogue of %s; %s%s", shortened(title), self.dataset.name, reading, near)


def _ids_of_titles(items: Items) -> list[list[str]]:
    """Returns the ids of the items of each distinct title."""
    ids: list[list[str]] = [[] for _ in items.distinct_titles]
    for name, title in zip(items.ids, items.title_of.tolist(), strict=True):
        ids[title].append(name)
    return ids
