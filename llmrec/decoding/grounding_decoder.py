"""The decoder of task next_item that grounds a generated text in the titles nearest to it: BIGRec, arXiv 2308.08434."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.embeddings import text_states
from llmrec.baselines.base import Baseline
from llmrec.catalogue.trie import Trie
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Rows
from llmrec.decoding.decoder import DecoderPreparation, Progress, RowDecoder
from llmrec.decoding.unconstrained import generate_texts
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import NonNegativeFloat, PositiveInt, Text

OWN = "own"
"""The value of `embeddings` that selects the run's own model."""
CHUNK_ROWS = 64
"""Rows whose distances to all titles are held at once."""


class GroundingDecoder(RowDecoder):
    """Generates a text without constraints and ranks the titles by the distance of their embeddings to its embedding.

    A title's score is the negative L2 distance. With `gamma` above 0 it is -d / (1 + w)^gamma instead, where d is the
    distance and w the assistant's score of the title, both scaled to [0, 1] over the titles of a row. Source: BIGRec,
    arXiv 2308.08434, and its official code, which embeds a text without its quotes by the last hidden state of its last
    token under the base model.

    Args:
        k: Number of titles in a ranking.
        beams: Number of beams of the generation; 1 is greedy.
        embeddings: The model that embeds texts: "own" for the run's model without its adapter (the tuned model if the
            whole model was tuned), "reference" for the dataset's reference model, or a sentence encoder.
        gamma: Strength of the assistant; 0 leaves it out.
        assistant: The recommender whose scores re-weight the distances: popularity, or a conventional recommender.
        exclude_history: Whether titles of the history are left out.
    """

    generates_text = True

    def __init__(
        self,
        k: PositiveInt = 10,
        beams: PositiveInt = 4,
        embeddings: Text = OWN,
        gamma: NonNegativeFloat = 0.0,
        assistant: Baseline | None = None,
        exclude_history: bool = False,
    ) -> None:
        self.beams, self.embeddings, self.gamma, self.assistant = beams, embeddings, gamma, assistant
        self.list_length, self.exclude_history = k, exclude_history

    @staticmethod
    def validate(settings: Mapping[str, Any]) -> None:
        """Checks that there is an assistant if it has a weight."""
        if settings["gamma"] > 0 and settings["assistant"] is None:
            raise ValueError(
                f"gamma={settings['gamma']}: choose the baseline that re-weights the distances, as in "
                "baseline@decoding.assistant=popularity, or give 0"
            )

    def prepare(self, preparation: DecoderPreparation) -> None:
        own = partial(text_states, preparation.backbone)
        self.embed = own if self.embeddings == OWN else preparation.text_embedder(self.embeddings)
        self.titles, self.texts = preparation.titles, [_without_quotes(text) for text in preparation.texts]
        self.vectors = map_across_ranks(
            len(self.texts), lambda titles: self.embed([self.texts[title] for title in titles])
        )
        if self.assistant is not None:
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
        generated = generate_texts(backbone, prompts, self.titles, self.beams, progress)
        vectors = self._embedded([_without_quotes(text) for text, _ in generated])
        leaf_title, title_leaf = trie.leaf_title.cpu().numpy(), trie.title_leaf.cpu().numpy()
        # Of several titles with equal tokens, the first represents all.
        repeated = np.flatnonzero(leaf_title[title_leaf] != np.arange(len(title_leaf)))
        titles = np.full((len(prompts), self.list_length), -1, dtype=np.int32)
        scores = np.full(titles.shape, -np.inf, dtype=np.float32)
        for chunk, distance in self._distances(vectors, rows, split):
            distance[:, repeated] = np.inf
            if excluded is not None:
                row, column = np.nonzero(excluded[chunk] >= 0)
                distance[row, leaf_title[excluded[chunk][row, column]]] = np.inf
            order = distance.argsort(axis=1, kind="stable")[:, : self.list_length]
            best = np.take_along_axis(distance, order, axis=1)
            titles[chunk, : order.shape[1]] = np.where(np.isfinite(best), order, -1)
            scores[chunk, : order.shape[1]] = -best
        return titles, scores, np.zeros((len(prompts), 0))

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds generated texts, float32 `[texts, size]`; one that is a title has exactly the title's embedding."""
        known = dict(zip(self.texts, self.vectors, strict=True))
        new = sorted(set(texts) - known.keys())
        if new:
            known |= dict(zip(new, self.embed(new), strict=True))
        return np.stack([known[text] for text in texts]) if texts else self.vectors[:0]

    def _distances(self, vectors: np.ndarray, rows: Rows, split: str) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields the distances of rows to all titles, float32 `[chunk, titles]`, re-weighted if gamma is above 0."""
        titles = torch.from_numpy(self.vectors)
        for start in range(0, len(vectors), CHUNK_ROWS):
            chunk = slice(start, min(start + CHUNK_ROWS, len(vectors)))
            # Exact differences: the faster expansion of the square makes the distance of equal vectors nonzero.
            mode = "donot_use_mm_for_euclid_dist"
            distance = torch.cdist(torch.from_numpy(vectors[chunk]), titles, compute_mode=mode).numpy()
            if self.gamma > 0:
                assert self.assistant is not None
                batch = rows.take(np.arange(chunk.start, chunk.stop))
                weight = _scaled(np.concatenate(list(self.assistant.title_scores(batch, split))))
                distance = _scaled(distance) * (1 + weight) ** -self.gamma
            yield chunk, distance


def _without_quotes(text: str) -> str:
    return text.strip().strip('"')


def _scaled(values: np.ndarray) -> np.ndarray:
    """Scales each row to [0, 1]; a row of equal values becomes 0."""
    low = values.min(axis=1, keepdims=True)
    width = values.max(axis=1, keepdims=True) - low
    return (values - low) / np.where(width > 0, width, 1)
