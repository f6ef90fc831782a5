"""The decoder of task next_item that returns the exact best titles of the full catalogue, with a certificate."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie
from llmrec.decoding.decoder import CatalogueDecoder, Progress
from llmrec.decoding.exact_search import PREFIXES_PER_CALL, ExactSearch, search_exact
from llmrec.decoding.rank import search_in_batches
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import PositiveFloat, PositiveInt


class ExactDecoder(CatalogueDecoder):
    """Best-first search on the trie under trie scores; see `ExactSearch`.

    Args:
        k: Number of titles in a ranking.
        budget: Largest number of prefixes that are expanded for a row.
        exclude_history: Whether titles of the history are left out.
        temperature: As for `BeamSearchDecoder`.
    """

    details = ("certified", "bound", "prefixes", "model_calls")

    def __init__(
        self,
        k: PositiveInt = 10,
        budget: PositiveInt = 1000,
        exclude_history: bool = False,
        temperature: PositiveFloat | Literal["training"] = 1.0,
    ) -> None:
        self.settings = ExactSearch(k, budget, 1.0 if temperature == "training" else temperature)
        self.list_length, self.exclude_history = k, exclude_history

    def rank(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.rank_with_details(backbone, trie, prompts, excluded, progress)[:2]

    def rank_with_details(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ranks titles for each prompt.

        Returns:
            titles, scores: See `rank`.
            details: float64 `[prompts, 4]`: whether the list is certified to be exact (1 or 0); an upper bound on the
                score of every title that is not in it; the number of expanded prefixes; and that of model calls.
        """
        titles = np.full((len(prompts), self.list_length), -1, dtype=np.int32)
        scores = np.full(titles.shape, -np.inf, dtype=np.float32)
        details = np.zeros((len(self.details), len(prompts)))

        def run(
            rows: np.ndarray, trie: Trie, batch: Sequence[np.ndarray], shared: SharedPrefix, left_out: Tensor | None
        ) -> Sequence[Tensor]:
            found = search_exact(backbone, trie, batch, shared, self.settings, left_out)
            return found.leaf, found.score, found.certified, found.bound, found.prefixes, found.model_calls

        appended, into = self.settings.appended_tokens(trie), [titles, scores, *details]
        search_in_batches(backbone, trie, prompts, PREFIXES_PER_CALL, appended, run, into, excluded, progress)
        return titles, scores, details.T
