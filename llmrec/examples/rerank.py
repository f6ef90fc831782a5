"""The Lightning data module of task rerank: turns candidate lists into batches for an objective."""

import numpy as np
import torch
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.permutations import Permutations
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.lists import Lists
from llmrec.examples.example import TrainingExample
from llmrec.examples.training_data import TrainingData
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Branch, Response
from llmrec.prompts.identifiers import find_identifiers
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.rerank import ListPrompts, reserved_tokens
from llmrec.prompts.rerank_text import RerankText


class ListExample(TrainingExample):
    """A training list of task rerank."""

    data: "RerankData"

    @property
    def target(self) -> Response:
        return self.data.ranking(self.data.target[self.index])

    def in_order(self, order: np.ndarray) -> Branch:
        (prompt,) = self.data.list_prompts.reordered(np.array([self.index]), order[None])
        # The position at which the list shows each candidate, in the order of the target.
        return Branch(prompt, self.data.ranking(np.argsort(order)[self.data.target[self.index]]))


class RerankData(TrainingData):
    """Prompts, identifiers and target orders of a dataset's lists for one tokenizer.

    The response is the ranking: the candidates' identifiers, the most relevant first, then the end token.

    Attributes:
        size: Candidates of a list (m).
        identifiers: The identifiers of the candidates.
        trie: The permutations of the identifiers, which constrain decoding.
        lists: The lists that train the model.
        list_prompts: Their prompts.
        target: The candidates of each list by relevance, the most relevant first, int64 [lists, m].
        gains: The gain of each candidate, float32 [lists, m].
        supervised: Whether the objective supervises each token of a ranking, bool [m + 1].
        validation: The lists by which a checkpoint is selected.
        validation_prompts: Their prompts.
    """

    trie: Permutations

    def __init__(self, dataset: Dataset, backbone: Backbone, config: DictConfig) -> None:
        """Finds the identifiers.

        Args:
            dataset: The dataset with its lists.
            backbone: Its tokenizer is used.
            config: The resolved run config (prompt, task, dataset.wording, backbone.max_length, trainer and seed
                are read).
        """
        super().__init__(dataset, Prompt(RerankText.of(config, dataset.items), backbone.tokenizer), config)
        self.size = int(config.task.candidates)
        self.identifiers = find_identifiers(self.prompt, self.size)
        self.trie = Permutations.of(self.identifiers.tokens.tolist(), self.identifiers.end_token)

    def prompts(self, lists: Lists) -> ListPrompts:
        """Returns the prompts of some lists."""
        limit = self.config.backbone.max_length - reserved_tokens(self.size)
        return ListPrompts(self.prompt, self.identifiers, limit, lists, self.dataset.items)

    def setup_training(self, objective: Objective, validation: Lists) -> None:
        """Tokenizes the training and validation lists, and gets the supervised positions from the objective.

        Args:
            objective: The objective to train.
            validation: Lists by which a checkpoint is selected.
        """
        self.objective, self.validation = objective, validation
        self.lists = self.dataset.lists["sample"]
        self.list_prompts = self.prompts(self.lists)
        self.validation_prompts = self.prompts(validation).prompts
        self.gains = self.lists.gains.astype(np.float32)
        self.target = self.lists.target_order(self.config.task.seed)
        fan_out = torch.tensor([*range(self.size, 0, -1), 1])
        self.supervised = objective.supervised(fan_out).numpy()

    @property
    def sample_prompts(self) -> Prompts:
        return self.list_prompts.prompts

    @property
    def identifier_tokens(self) -> np.ndarray:
        """The token that names each position of a list, int64 [m]."""
        return self.identifiers.tokens

    @property
    def response_tokens(self) -> int:
        return self.size

    @property
    def selection_rows(self) -> Rows:
        return self.validation.rows

    def example(self, row: int) -> ListExample:
        return ListExample(self, row)

    def ranking(self, positions: np.ndarray) -> Response:
        """Returns a ranking as a response: the identifiers of positions, best first (int [m]), then the end token."""
        tokens = np.append(self.identifiers.tokens[positions], self.identifiers.end_token)
        # The node of `Permutations` before each token: the identifiers that are left, as bits.
        used = np.concatenate([[0], np.cumsum(1 << positions.astype(np.int64))])
        return Response(tokens, 2**self.size - 1 - used, self.supervised)
