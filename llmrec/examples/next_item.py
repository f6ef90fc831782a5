"""The Lightning data module of task next_item: turns rows of a dataset into batches for an objective."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.cached import load_catalogue
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import shortened
from llmrec.examples.batches import build_batch
from llmrec.examples.example import TrainingExample
from llmrec.examples.training_data import TrainingData
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Batch, Branch, Response
from llmrec.prompts.next_item import PromptTokenizer, prompt_limit
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.text import PromptText


@dataclass(frozen=True)
class Split:
    """Rows of a split with their prompts: row r has prompt r."""

    rows: Rows
    prompts: Prompts


class CatalogueExample(TrainingExample):
    """A training row of task next_item."""

    data: "NextItemData"

    @property
    def target(self) -> Response:
        return self.title(int(self.data.sample_titles[self.index]))

    def title(self, title: int) -> Response:
        return self.data.response(title, self.data.supervised)

    def prompt_for(self, titles: Sequence[str]) -> np.ndarray:
        return self.data.prompt_tokenizer.history(titles, self.data.sample.rows.candidates_of(self.index))

    def text_prompt(self, text: str) -> np.ndarray:
        return self.data.prompt_tokenizer.text(text)


class NextItemData(TrainingData):
    """Prompts, titles and trie of a dataset for one tokenizer, and the batches that train an objective.

    Attributes:
        titles: The tokens of the distinct titles.
        trie: The trie of the titles.
        path: Trie node reached before each title token, int32 [title tokens].
        fan_out: Number of tokens that the trie allows in the place of each title token, int32 [title tokens].
        prompt_tokenizer: Turns histories into prompts.
        sample: The rows that train the model, with their prompts.
        sample_titles: The distinct title of each row's target, int [rows].
        supervised: Whether the objective supervises each title token, bool [title tokens].
        validation: The rows by which a checkpoint is selected, with their prompts.
    """

    trie: Trie
    text: ClassVar[type[PromptText]] = NextItemText
    """The text of the prompts."""

    def __init__(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> None:
        """Tokenizes the titles and builds the trie, or reads both from the cache.

        Args:
            dataset: The dataset.
            backbone: Its tokenizer is used.
            config: The resolved run config (prompt, dataset.wording, backbone.max_length, trainer, validation and
                seed are read).
            cache_dir: Cache of titles, trie and prompts.
        """
        super().__init__(dataset, Prompt(self.text.of(config, dataset.items), backbone.tokenizer), config)
        items, prompt = dataset.items, self.prompt
        self.titles, self.trie, self.path = load_catalogue(
            backbone.tokenizer, items, prompt.end, prompt.end_token, cache_dir
        )
        self.fan_out = self.trie.fan_out.numpy()[self.path]
        limit = prompt_limit(config.backbone.max_length, self.titles, items)
        self.prompt_tokenizer = PromptTokenizer(prompt, items, limit, self.titles.prompt_overlap, cache_dir)

    def split(self, rows: Rows) -> Split:
        """Returns the rows with their prompts."""
        return Split(rows, self.prompt_tokenizer.rows(rows, self.dataset.items))

    @property
    def room(self) -> str:
        lengths = np.diff(self.titles.offsets)
        longest = self.dataset.items.texts[int(lengths.argmax())]
        return (
            f"{super().room} less {lengths.max()} tokens for the longest title ({shortened(longest)!r}; half of the "
            f"titles have at most {int(np.median(lengths))})"
        )

    def history_free_prompt(self) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length].

        Raises:
            InputError: If the prompts of the training sample do not share one template.
        """
        return self.prompt_tokenizer.history_free(self.sample.prompts)

    def history_free_titles(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns the prompt with an empty history and the tokens of each distinct title, int32 [length] each."""
        return self.prompt_tokenizer.without_history(), [self.titles.of(title) for title in range(len(self.titles))]

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the distinct title of each target, int32 [rows].

        Of titles that have the same tokens, the first one stands for all.
        """
        leaf = self.trie.title_leaf.numpy()[self.dataset.items.title_of[rows.target]]
        return self.trie.leaf_title.numpy()[leaf]

    def setup_training(self, objective: Objective, validation: Rows) -> None:
        """Tokenizes the training sample and the validation rows, and gets the supervised positions from the objective.

        Args:
            objective: The objective to train.
            validation: Rows by which a checkpoint is selected.
        """
        self.objective = objective
        self.sample = self.split(self.dataset.sample)
        self.validation = self.split(validation)
        self.sample_titles = self.dataset.items.title_of[self.dataset.sample.target]
        self.supervised = objective.supervised(torch.from_numpy(self.fan_out)).numpy()

    def response(self, title: int, supervised: np.ndarray) -> Response:
        """Returns a distinct title as a response.

        Args:
            title: The distinct title.
            supervised: Whether each token of the titles is supervised, bool [title tokens].
        """
        tokens = slice(self.titles.offsets[title], self.titles.offsets[title + 1])
        return Response(self.titles.tokens[tokens], self.path[tokens], supervised[tokens])

    @property
    def sample_prompts(self) -> Prompts:
        return self.sample.prompts

    @cached_property
    def response_tokens(self) -> int:
        titles = np.unique(self.sample_titles)
        last = [np.flatnonzero(self.response(title, self.supervised).supervised)[-1:] for title in titles]
        return int(np.quantile([int(position.sum()) for position in last], 0.95))

    @property
    def selection_rows(self) -> Rows:
        return self.validation.rows

    def example(self, row: int) -> CatalogueExample:
        return CatalogueExample(self, row)

    def validation_batch(self, rows: np.ndarray) -> Batch:
        """Returns a micro-batch of validation rows (int [rows]) with their targets as the only branch.

        The positions are those where the trie leaves more than one choice.
        """
        titles = self.dataset.items.title_of[self.validation.rows.target[rows]]
        has_choice = self.fan_out > 1
        branches = [
            [Branch(self.validation.prompts.of(row), self.response(int(title), has_choice))]
            for row, title in zip(rows, titles, strict=True)
        ]
        return build_batch(rows, branches, shared_columns=0)
