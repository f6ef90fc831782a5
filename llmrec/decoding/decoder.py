"""The interface of decoders, which turn a tuned model into rankings, and the one place that builds them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.prompts.prompts import Prompts
from llmrec.settings.objects import build

Progress = Callable[[int], None]
"""Called with the number of rows of each finished batch."""
TextEmbedder = Callable[[Sequence[str]], np.ndarray]
"""Embeds texts, float32 `[texts, size]`."""


class DecoderPreparation(Protocol):
    """What a decoder of task next_item can use once, before it ranks."""

    @property
    def backbone(self) -> Backbone:
        """The model."""

    @property
    def titles(self) -> TitleTokens:
        """The tokens of the distinct titles."""

    @property
    def texts(self) -> Sequence[str]:
        """The distinct titles."""

    @property
    def prompt_start(self) -> np.ndarray:
        """The tokens that prompts begin with whatever their history is, int `[length]`; some may begin otherwise."""

    def open_assistant(self) -> Baseline:
        """Opens the fitted baseline that `decoding.assistant` names."""

    def text_embedder(self, model: str) -> TextEmbedder:
        """Opens a model that embeds texts.

        Args:
            model: "reference" for the dataset's reference model, or a sentence encoder, named as in
                dataset.reference.encoder. A decoder must take this name from a setting called `embeddings`, because
                the key of the ranking is computed from that setting.
        """


class Decoder(ABC):
    """Base of all decoders, chosen by `_target_` in the config group `decoding`.

    Attributes:
        tasks: Names of the tasks that it decodes for.
    """

    tasks: ClassVar[Collection[str]]


class CatalogueDecoder(Decoder):
    """Base of decoders of task next_item.

    Attributes:
        list_length: Number of titles in a ranking.
        exclude_history: Whether titles of the history are left out.
        details: Names of the values that the decoder has for each row beside titles and scores.
        assistant: A baseline that the decoder uses, from its setting of this name; it is fitted after `prepare`.
        generates_text: Whether the decoder generates titles as text, so that tokens cannot represent them.
    """

    tasks = ("next_item",)
    list_length: int
    exclude_history: bool
    details: ClassVar[Sequence[str]] = ()
    assistant: Baseline | None = None
    generates_text: ClassVar[bool] = False

    def prepare(self, preparation: DecoderPreparation) -> None:
        """Prepares the decoder. Called once, before it ranks."""

    @abstractmethod
    def rank(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ranks titles for each prompt.

        Args:
            backbone: The model.
            trie: The titles.
            prompts: The prompts.
            excluded: Trie leaves that a prompt must not be given, int64 `[prompts, n]`, -1 = padding.
            progress: Called with the number of rows of each finished batch.

        Returns:
            titles: Indices of distinct titles, best first, int32 `[prompts, list_length]`, -1 = no further title. Of
                several titles with equal tokens, the first represents all.
            scores: float32 `[prompts, list_length]`, -inf where there is no title.
        """

    def rank_with_details(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ranks titles for each prompt, as `rank` does, and returns the `details` too, float64 `[prompts, details]`."""
        titles, scores = self.rank(backbone, trie, prompts, excluded, progress)
        return titles, scores, np.zeros((len(prompts), len(self.details)))

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
        """Ranks titles for each row.

        Args:
            backbone: The model.
            trie: The titles.
            prompts: The prompt of each row.
            rows: The rows.
            split: The split of the rows; see `Baseline.rank`.
            excluded: As for `rank`.
            progress: As for `rank`.

        Returns:
            See `rank_with_details`.
        """
        return self.rank_with_details(backbone, trie, prompts, excluded, progress)


class RowDecoder(CatalogueDecoder):
    """Base of decoders that need more of a row than its prompt, such as its history. They implement `rank_rows`."""

    def rank(
        self,
        backbone: Backbone,
        trie: Trie,
        prompts: Prompts,
        excluded: np.ndarray | None = None,
        progress: Progress = lambda done: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raises an InputError, since prompts are not enough."""
        raise InputError(
            f"the decoder {type(self).__name__} needs rows, of which there are only the prompts: add decoding=trie"
        )


class ListDecoder(Decoder):
    """Base of decoders of task rerank.

    Attributes:
        bootstrap: Number of random orders of the candidates whose rankings are merged by Borda count; 1 = as shown.
        seed: Seed of these orders.
    """

    tasks = ("rerank",)
    bootstrap: int
    seed: int

    @abstractmethod
    def rank(
        self, backbone: Backbone, trie: Permutations, prompts: Prompts, progress: Progress = lambda done: None
    ) -> np.ndarray:
        """Ranks the candidates of each prompt.

        Args:
            backbone: The model.
            trie: The permutations of the identifiers.
            prompts: One prompt per list.
            progress: Called with the number of lists of each finished batch.

        Returns:
            Indices of each list's candidates, best first, int64 `[lists, m]`; always a permutation.
        """


class CandidateDecoder(Decoder):
    """Base of decoders of task candidates.

    Attributes:
        exclude_history: Whether titles of the history are left out: never, since all candidates are ranked.
    """

    tasks = ("candidates",)
    exclude_history: ClassVar[bool] = False

    @abstractmethod
    def scores(
        self,
        backbone: Backbone,
        trie: Trie,
        titles: TitleTokens,
        prompts: Prompts,
        candidates: np.ndarray,
        progress: Progress = lambda done: None,
    ) -> np.ndarray:
        """Scores the candidates of each prompt.

        Args:
            backbone: The model.
            trie: The titles of the catalogue.
            titles: Their tokens.
            prompts: The prompts.
            candidates: Distinct titles, int `[prompts, m]`.
            progress: Called with the number of rows of each finished batch.

        Returns:
            Scores, higher is better, float64 `[prompts, m]`.
        """


def build_decoder(decoding: DictConfig, task: str) -> Decoder:
    """Builds the decoder of the resolved config group `decoding`.

    Args:
        decoding: The config group.
        task: The name of the run's task.

    Raises:
        InputError: If a setting is invalid, or the decoder is for another task.
    """
    decoder: Decoder = build(plain(decoding), "decoding")
    if task not in decoder.tasks:
        raise InputError(
            f"decoding={type(decoder).__name__} is for task={' or '.join(decoder.tasks)}, but the run has task={task}: "
            "set decoding=trie, vocab, exact, d3 or grounding for task=next_item, decoding=permutation for task=rerank "
            "or decoding=candidates for task=candidates"
        )
    return decoder


def assistant_settings(decoding: Mapping[str, object]) -> dict[str, object] | None:
    """Returns the settings of the baseline that a decoder uses, None if it uses none.

    Args:
        decoding: The config group `decoding` as plain containers.
    """
    assistant = decoding.get("assistant")
    return dict(assistant) if isinstance(assistant, Mapping) and "_target_" in assistant else None
