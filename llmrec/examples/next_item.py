"""The Lightning data module of task next_item: turns rows of a dataset into batches for an objective."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.cached import load_catalogue
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.examples.batches import Responses, build_batch
from llmrec.examples.training_data import TrainingData
from llmrec.objectives.base import Batch, Objective
from llmrec.prompts.next_item import PromptTokenizer, prompt_limit
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts


@dataclass(frozen=True)
class Split:
    """Rows of a split with their prompts: row r has prompt r."""

    rows: Rows
    prompts: Prompts


class NextItemData(TrainingData):
    """Prompts, titles and trie of a dataset for one tokenizer, and the batches that train an objective.

    Attributes:
        titles: The tokens of the distinct titles.
        trie: The trie of the titles.
        path: Trie node reached before each title token, int32 [title tokens].
        fan_out: Number of tokens that the trie allows in the place of each title token, int32 [title tokens].
        prompt_tokenizer: Turns histories into prompts.
    """

    def __init__(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> None:
        """Tokenises the titles and builds the trie, or reads both from the cache.

        Args:
            dataset: The dataset.
            backbone: Its tokenizer is used.
            config: The resolved run config (prompt, dataset.wording, backbone.max_length, trainer, validation and
                seed are read).
            cache_dir: Cache of titles, trie and prompts.
        """
        super().__init__(dataset, config)
        items, prompt = dataset.items, Prompt.of(config, "next_item", backbone.tokenizer)
        self.titles, self.trie, self.path = load_catalogue(
            backbone.tokenizer, items, prompt.end, prompt.end_token, cache_dir
        )
        self.fan_out = self.trie.fan_out.numpy()[self.path]
        limit = prompt_limit(config.backbone.max_length, self.titles, items)
        self.prompt_tokenizer = PromptTokenizer(prompt, items, limit, self.titles.moved, cache_dir)

    def split(self, rows: Rows) -> Split:
        """Returns the rows with their prompts."""
        return Split(rows, self.prompt_tokenizer.rows(rows, self.dataset.items))

    def history_free_prompt(self) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length].

        Raises:
            InputError: If the prompts of the training sample do not share one template.
        """
        return self.prompt_tokenizer.history_free(self.sample.prompts)

    def target_titles(self, rows: Rows) -> np.ndarray:
        """Returns the distinct title of each target, int32 [rows].

        Of titles that have the same tokens, the first one stands for all.
        """
        leaf = self.trie.title_leaf.numpy()[self.dataset.items.title_of[rows.target]]
        return self.trie.leaf_title.numpy()[leaf]

    def setup_training(self, objective: Objective, validation: Rows) -> None:
        """Tokenises the training sample and the validation rows, and gets the supervised positions from the objective.

        Args:
            objective: The objective to train.
            validation: Rows by which a checkpoint is selected.
        """
        self.objective = objective
        self.sample = self.split(self.dataset.sample)
        self.validation = self.split(validation)
        self.sample_titles = self.dataset.items.title_of[self.dataset.sample.target]
        supervised = objective.supervised(torch.from_numpy(self.fan_out)).numpy()
        self.responses = Responses(self.titles, self.path, supervised)
        self.choices = Responses(self.titles, self.path, self.fan_out > 1)

    @property
    def sample_prompts(self) -> Prompts:
        return self.sample.prompts

    @cached_property
    def added_tokens(self) -> int:
        """Number of tokens that a row's branches add to its prompt: the 95th percentile over the sample's titles."""
        input_lengths = [len(self.responses.fed(title)) for title in np.unique(self.sample_titles)]
        return int(self.objective.branch_count * np.quantile(input_lengths, 0.95))

    @property
    def validation_rows(self) -> int:
        return len(self.validation.rows)

    def batch(self, rows: np.ndarray) -> Batch:
        prompts = [self.sample.prompts.of(row) for row in rows]
        branches = [self.objective.branches(int(row), int(self.sample_titles[row])) for row in rows]
        return build_batch(rows, prompts, branches, self.responses, self.shared)

    def validation_batch(self, rows: np.ndarray) -> Batch:
        """Returns a micro-batch of validation rows (int [rows]) with their targets as the only branch.

        The positions are those where the trie leaves more than one choice.
        """
        prompts = [self.validation.prompts.of(row) for row in rows]
        targets = self.dataset.items.title_of[self.validation.rows.target[rows]]
        return build_batch(rows, prompts, [[int(title)] for title in targets], self.choices, shared=0)
