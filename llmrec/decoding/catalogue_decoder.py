"""The decoder of task next_item: constrained beam search over the full catalogue."""

from typing import Literal

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import Trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.decoder import CatalogueDecoder, DecoderPreparation, Progress
from llmrec.decoding.rank import rank_titles
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import LengthPenalty, PositiveFloat, PositiveInt


class BeamSearchDecoder(CatalogueDecoder):
    """Trie-constrained beam search; see `BeamSearch` for the arguments.

    Args:
        beams: Number of beams, and of titles in a ranking.
        scores: "trie" or "vocab".
        length_penalty: Exponent of the title's length.
        exclude_history: Whether titles of the history are left out.
        temperature: Divides the logits before they are normalized. "training" stands for the temperature that the run
            was trained with, which `resolve_temperature` puts in its place before a decoder ranks.
    """

    def __init__(
        self,
        beams: PositiveInt = 10,
        scores: Literal["trie", "vocab"] = "trie",
        length_penalty: LengthPenalty = 0.0,
        exclude_history: bool = False,
        temperature: PositiveFloat | Literal["training"] = 1.0,
    ) -> None:
        self.settings = BeamSearch(beams, scores, length_penalty, 1.0 if temperature == "training" else temperature)
        self.list_length, self.exclude_history = beams, exclude_history
        self.start: SharedPrefix | None = None

    def prepare(self, preparation: DecoderPreparation) -> None:
        self.start = SharedPrefix(preparation.backbone, preparation.prompt_start)

    def rank(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        return rank_titles(backbone, trie, prompts, self.settings, excluded, progress, start=self.start)
