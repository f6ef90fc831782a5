"""The decoder of task candidates: the log-probability of each candidate's title."""

from typing import Literal

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.decoder import CandidateDecoder, Progress
from llmrec.decoding.title_scores import title_log_probabilities
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import PositiveFloat


class TitleScoreDecoder(CandidateDecoder):
    """Scores each candidate by the sum of the log-probabilities of its title's tokens; nothing is searched.

    Args:
        scores: "trie" normalizes over the valid tokens of the catalogue's trie, "vocab" over the whole vocabulary. See
            `edge_scores`.
        temperature: Divides the logits before they are normalized. "training" as in `BeamSearchDecoder`.
    """

    def __init__(
        self, scores: Literal["trie", "vocab"] = "trie", temperature: PositiveFloat | Literal["training"] = 1.0
    ) -> None:
        self.normalization: Literal["trie", "vocab"] = scores
        self.temperature = 1.0 if temperature == "training" else temperature

    def scores(
        self,
        backbone: Backbone,
        trie: Trie,
        titles: TitleTokens,
        prompts: Prompts,
        candidates: np.ndarray,
        progress: Progress = lambda done: None,
    ) -> np.ndarray:
        trie, found = trie.to(backbone.device), np.zeros(candidates.shape)
        for row, chosen in enumerate(candidates):
            found[row] = title_log_probabilities(
                backbone, trie, titles, prompts.of(row), chosen, self.normalization, temperature=self.temperature
            )
            progress(1)
        return found
