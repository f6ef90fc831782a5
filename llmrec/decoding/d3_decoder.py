"""The decoder of task next_item that mixes a text-free recommender into beam search: D3, arXiv 2406.14900."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Rows
from llmrec.decoding.assistance import Assistance
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.decoder import DecoderPreparation, Progress, RowDecoder
from llmrec.decoding.rank import search_in_batches
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import PositiveFloat, PositiveInt, Probability


class D3Decoder(RowDecoder):
    """Beam search without length normalization, whose steps mix in a text-free recommender; see `Assistance`.

    Source: D3, arXiv 2406.14900, and its official code, which takes the log-softmax over the whole vocabulary, applies
    the constraint, mixes at each token, and sums without dividing by the length. Ghost tokens, which have a probability
    close to 1, then add nothing to a title's score instead of raising its mean.

    Args:
        assistant: The recommender, whose scores of titles are taken as logits.
        alpha: Weight of the language model; the assistant has the weight 1 - alpha. 1 is beam search alone.
        beams: Number of beams, and of titles in a ranking.
        scores: "vocab" or "trie", as for `BeamSearch`.
        exclude_history: Whether titles of the history are left out.
        temperature: As for `BeamSearchDecoder`.
    """

    assistant: Baseline

    def __init__(
        self,
        assistant: Baseline,
        alpha: Probability = 0.9,
        beams: PositiveInt = 10,
        scores: Literal["trie", "vocab"] = "vocab",
        exclude_history: bool = False,
        temperature: PositiveFloat | Literal["training"] = 1.0,
    ) -> None:
        self.settings = BeamSearch(beams, scores, 0.0, 1.0 if temperature == "training" else temperature)
        self.assistant, self.alpha = assistant, alpha
        self.list_length, self.exclude_history = beams, exclude_history

    def prepare(self, preparation: DecoderPreparation) -> None:
        self.assistant = preparation.open_assistant()

    def rank_rows(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        rows: Rows,
        split: str,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        titles = np.full((len(prompts), self.list_length), -1, dtype=np.int32)
        scores = np.full(titles.shape, -np.inf, dtype=np.float32)

        def run(
            batch_rows: np.ndarray,
            trie: Trie,
            batch: Sequence[np.ndarray],
            shared: SharedPrefix,
            left_out: Tensor | None,
        ) -> Sequence[Tensor]:
            assistance = None
            # As in the official code, a weight of 0 leaves the assistant out, whatever its scores are.
            if self.alpha < 1:
                scored = np.concatenate(list(self.assistant.title_scores(rows.take(batch_rows), split)))
                on_device = torch.from_numpy(scored).float().to(backbone.device)
                assistance = Assistance.of_titles(on_device, trie, left_out, self.alpha)
            return search(backbone, trie, batch, shared, self.settings, left_out, assistance=assistance)

        appended = self.settings.appended_tokens(trie)
        search_in_batches(
            backbone, trie, prompts, self.settings.beams, appended, run, [titles, scores], excluded, progress
        )
        return titles, scores, np.zeros((len(prompts), 0))
