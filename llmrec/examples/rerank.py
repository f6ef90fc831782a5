"""The Lightning data module of task rerank: turns candidate lists into batches for an objective."""

import numpy as np
import torch
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.catalogue.permutations import Permutations
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.examples.training_data import TrainingData
from llmrec.objectives.base import ListBatch, Objective
from llmrec.prompts.identifiers import find_identifiers
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.rerank import ListPrompts, ranking_room


class RerankData(TrainingData):
    """Prompts, identifiers and target orders of a dataset's lists for one tokenizer.

    The response is the ranking: the candidates' identifiers, the most relevant first, then the end token.

    Attributes:
        size: Candidates of a list (m).
        identifiers: The identifiers of the candidates.
        trie: The permutations of the identifiers, which constrain decoding.
    """

    def __init__(self, dataset: Dataset, backbone: Backbone, config: DictConfig) -> None:
        """Finds the identifiers.

        Args:
            dataset: The dataset with its lists.
            backbone: Its tokenizer is used.
            config: The resolved run config (prompt, task, dataset.wording, backbone.max_length, trainer and seed
                are read).
        """
        super().__init__(dataset, config)
        self.prompt = Prompt.of(config, "rerank", backbone.tokenizer)
        self.size = int(config.task.candidates)
        self.identifiers = find_identifiers(self.prompt, self.size)
        self.trie = Permutations.of(self.identifiers.tokens.tolist(), self.identifiers.end_token)

    def prompts(self, lists: Lists) -> ListPrompts:
        """Returns the prompts of some lists."""
        limit = self.config.backbone.max_length - ranking_room(self.size)
        return ListPrompts(self.prompt, self.identifiers, limit, lists, self.dataset.items)

    def setup_training(self, objective: Objective, validation: Lists) -> None:
        """Tokenises the training and validation lists, and gets the supervised positions from the objective.

        Args:
            objective: The objective to train.
            validation: Lists by which a checkpoint is selected.
        """
        self.objective, self.validation = objective, validation
        self.lists = self.dataset.lists["sample"]
        self.list_prompts = self.prompts(self.lists)
        self.validation_prompts = self.prompts(validation).prompts
        self.gains = torch.from_numpy(self.lists.gains).float()
        self.target = self.lists.target_order(self.config.task.seed)
        fan_out = torch.tensor([*range(self.size, 0, -1), 1])
        self.supervised = np.flatnonzero(objective.supervised(fan_out).numpy())

    @property
    def sample_prompts(self) -> Prompts:
        return self.list_prompts.prompts

    @property
    def added_tokens(self) -> int:
        """Upper bound of the tokens added to a prompt: its ranking and, for each other order, the unshared tokens.

        Another order adds the candidates and the ranking again.
        """
        return self.size + self.objective.permutations * int(self.sample_prompts.lengths.max() - self.shared)

    @property
    def validation_rows(self) -> int:
        return len(self.validation)

    def batch(self, rows: np.ndarray) -> ListBatch:
        """Returns the micro-batch of some lists (int [rows]).

        Branch 0 has the candidates in their stored order. Each further branch (`Objective.permutations`) has them in a
        random order, drawn anew each epoch.
        """
        orders = self._orders(rows)
        place = orders.argsort(axis=2)
        target = self.target[rows]
        target_place = np.take_along_axis(place, target[:, None], axis=2)
        prompts = [[self.list_prompts.prompts.of(row)] for row in rows]
        for branch in range(1, orders.shape[1]):
            for row, prompt in zip(prompts, self.list_prompts.shown(rows, orders[:, branch]), strict=True):
                row.append(prompt)
        return self._build(rows, prompts, place, target_place, target)

    def _orders(self, rows: np.ndarray) -> np.ndarray:
        """Returns the candidates in the order in which each branch shows them, int64 [rows, branches, m]."""
        stored = np.arange(self.size)
        orders = [
            [stored, *(self._generator(row).permuted(np.tile(stored, (self.objective.permutations, 1)), axis=1))]
            for row in rows
        ]
        return np.array(orders)

    def _generator(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, self.epoch, int(row)])

    def _build(
        self,
        rows: np.ndarray,
        prompts: list[list[np.ndarray]],
        place: np.ndarray,
        target_place: np.ndarray,
        target: np.ndarray,
    ) -> ListBatch:
        """Builds the micro-batch.

        Args:
            rows: Indices of the lists, int [rows].
            prompts: The prompt of each branch, [rows][branches].
            place: Where each branch shows each candidate, int64 [rows, branches, m].
            target_place: Where each branch shows the candidate at each rank of the target, which is the number of its
                identifier: int64 [rows, branches, m].
            target: The candidates, the most relevant first, int64 [rows, m].
        """
        identifiers = self.identifiers.tokens
        branch_positions = [self.supervised, *[np.arange(self.size)] * (place.shape[1] - 1)]
        eos = np.full((*target_place.shape[:2], 1), self.identifiers.end_token)
        responses = np.concatenate([identifiers[target_place], eos], axis=2)
        # The node of `Permutations` before each token: the identifiers that are left, as bits.
        used = np.concatenate([np.zeros_like(eos), (1 << target_place).cumsum(axis=2)], axis=2)
        nodes = 2**self.size - 1 - used
        common = [_common_length(row) for row in prompts]
        inputs = [
            [
                np.concatenate([prompt[start:], response[: positions[-1]]])
                for prompt, response, positions in zip(row, row_responses, branch_positions, strict=True)
            ]
            for row, row_responses, start in zip(prompts, responses, common, strict=True)
        ]
        shared = min(self.shared, *(start - 1 for start in common))
        packed, starts = pack([row[0][:start] for row, start in zip(prompts, common, strict=True)], inputs, shared)
        parts = [
            np.stack(
                [
                    predictor_columns(starts[r][b], len(prompts[r][b]) - common[r] + positions),
                    responses[r, b, positions],
                    nodes[r, b, positions],
                    np.full(len(positions), r),
                    np.full(len(positions), b),
                ]
            )
            for r in range(len(rows))
            for b, positions in enumerate(branch_positions)
        ]
        column, token, node, row, branch = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64)).unbind(0)
        return ListBatch(
            packed, column, token, node, row, branch, torch.from_numpy(rows), torch.tensor(len(rows) * (self.size + 1)),
            identifiers=torch.from_numpy(identifiers), place=torch.from_numpy(place), target=torch.from_numpy(target),
            gains=self.gains[rows],
        )  # fmt: skip


def _common_length(prompts: list[np.ndarray]) -> int:
    """Returns the number of tokens that all prompts begin with: all tokens of a single prompt."""
    shortest = min(map(len, prompts))
    same = np.all([prompt[:shortest] == prompts[0][:shortest] for prompt in prompts], axis=0)
    return shortest if same.all() else int(same.argmin())
