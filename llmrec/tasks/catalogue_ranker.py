"""Rankers of the catalogue: a tuned language model with a decoder, or a fitted baseline."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import TitleTokens
from llmrec.collectives import map_across_ranks
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.decoder import CatalogueDecoder, TextEmbedder
from llmrec.decoding.rank import history_leaves, pad_leaves
from llmrec.decoding.unconstrained import title_texts
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.prompts import Prompts
from llmrec.tasks.base import Progress


@dataclass(frozen=True)
class RankerPreparation:
    """What a ranker gives its decoder: implements `llmrec.decoding.decoder.DecoderPreparation`.

    Attributes:
        backbone: The model.
        titles: The tokens of the distinct titles.
        texts: The distinct titles.
        prompt_start: The tokens that prompts begin with.
        text_embedder: Opens a model that embeds texts.
        open_assistant: Opens the decoder's assistant.
    """

    backbone: Backbone
    titles: TitleTokens
    texts: Sequence[str]
    prompt_start: np.ndarray
    text_embedder: Callable[[str], TextEmbedder]
    open_assistant: Callable[[], Baseline]


class ModelRanker:
    """A tuned language model.

    Attributes:
        backbone: The model.
        data: The catalogue and prompts for its tokenizer.
        decoder: Turns its predictions into rankings.
    """

    name = "model"

    def __init__(
        self,
        backbone: Backbone,
        data: NextItemData,
        decoder: CatalogueDecoder,
        text_embedder: Callable[[str], TextEmbedder],
    ) -> None:
        """Takes over the model.

        Args:
            backbone: The model.
            data: The catalogue and prompts for its tokenizer.
            decoder: The decoder, which `prepare` prepares.
            text_embedder: Opens a model that embeds texts; see `DecoderPreparation`.
        """
        self.backbone, self.data, self.decoder, self.text_embedder = backbone, data, decoder, text_embedder

    def prepare(self, open_assistant: Callable[[], Baseline]) -> None:
        """Prepares the decoder, before the first ranking.

        Args:
            open_assistant: Opens the fitted baseline that the decoder's setting `assistant` names.
        """
        data = self.data
        self.preparation = RankerPreparation(
            self.backbone, data.titles, data.dataset.items.distinct_titles, data.prompt_tokenizer.start(),
            self.text_embedder, open_assistant,
        )  # fmt: skip
        self.decoder.prepare(self.preparation)

    def with_decoder(self, decoder: CatalogueDecoder) -> "ModelRanker":
        """Returns a copy of a prepared ranker with another decoder."""
        other = copy.copy(self)
        other.decoder = decoder
        decoder.prepare(self.preparation)
        return other

    def rank(
        self, rows: Rows, split: str, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
        """Ranks titles for each row; see `CatalogueDecoder.rank` for the result, and its `details` by name."""
        data = self.data
        excluded = history_leaves(rows, data.dataset.items, data.trie) if self.decoder.exclude_history else None
        titles, scores, details = self._ranked(data.split(rows).prompts, rows, split, excluded, progress)
        return titles, scores, dict(zip(self.decoder.details, details.T, strict=True))

    def rank_histories(self, histories: Sequence[Sequence[str]], progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Ranks titles for histories given as titles, oldest first. Unknown titles are used as text."""
        excluded = self.leaves(histories) if self.decoder.exclude_history else None
        prompts = self.data.prompt_tokenizer.histories(histories, cached=False)
        rows = _rows(histories, self.data.dataset.items)
        return self._ranked(prompts, rows, "test", excluded, progress)[:2]

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row that counts as a hit, int32 [rows]; titles with equal tokens count as one."""
        return self.data.target_titles(rows)

    def unconstrained_texts(self, rows: Rows, progress: Progress) -> tuple[list[str | None], np.ndarray]:
        """Generates a text for each row without constraints; see `title_texts`."""
        return title_texts(self.backbone, self.data, self.data.split(rows).prompts, progress)

    def _ranked(
        self, prompts: Prompts, rows: Rows, split: str, excluded: np.ndarray | None, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        def rank(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            left_out = None if excluded is None else excluded[part]
            return self.decoder.rank_rows(
                self.backbone, self.data.trie, prompts.take(part), rows.take(part), split, left_out, progress
            )

        return map_across_ranks(len(prompts), rank)

    def leaves(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns the trie leaves of each history's known titles, padded by `pad_leaves`, int64 [histories, length]."""
        items = self.data.dataset.items
        first = items.first_item
        known = [(row, first[title]) for row, history in enumerate(histories) for title in history if title in first]
        row, item = np.array(known, dtype=np.int64).reshape(-1, 2).T
        return pad_leaves(row, self.data.trie.title_leaf.numpy()[items.title_of[item]], len(histories))


class BaselineRanker:
    """A fitted baseline; its lists have as many titles as those of the decoder."""

    def __init__(self, name: str, baseline: Baseline, dataset: Dataset, decoder: CatalogueDecoder) -> None:
        self.name, self.baseline, self.dataset, self.decoder = name, baseline, dataset, decoder

    def with_decoder(self, decoder: CatalogueDecoder) -> "BaselineRanker":
        """Returns the ranker with lists as long as those of another decoder."""
        return BaselineRanker(self.name, self.baseline, self.dataset, decoder)

    def rank(
        self, rows: Rows, split: str, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
        """Ranks titles for each row; see `Baseline.rank`. There are no details."""
        return (*self._ranked(rows, split, progress), {})

    def rank_histories(self, histories: Sequence[Sequence[str]], progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Ranks titles for histories given as titles, oldest first. Unknown titles are ignored."""
        return self._ranked(_rows(histories, self.dataset.items), "test", progress)

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the title of each row that counts as a hit, int [rows]: that of its target."""
        titles: np.ndarray = self.dataset.items.title_of[rows.target]
        return titles

    def _ranked(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        return self.baseline.rank(rows, split, self.decoder.list_length, self.decoder.exclude_history, progress)


def _rows(histories: Sequence[Sequence[str]], items: Items) -> Rows:
    """Returns rows with the first item of each known title; targets and timestamps are placeholders."""
    first = items.first_item
    known = [[first[title] for title in history if title in first] for history in histories]
    count = len(known)
    return Rows(
        user=np.full(count, ""),
        history=np.array([item for history in known for item in history], dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum([len(history) for history in known])]).astype(np.int64),
        target=np.zeros(count, dtype=np.int32),
        timestamp=np.zeros(count, dtype=np.int64),
    )
