"""The Lightning data module of task rerank: candidate lists as batches for an objective."""

import numpy as np
import torch
from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.catalogue.permutations import Permutations
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.identifiers import find_identifiers
from llmrec.datasets.list_prompts import ListPrompts, ranking_room
from llmrec.datasets.lists import Lists
from llmrec.datasets.prompts import Prompts
from llmrec.datasets.training_data import TrainingData
from llmrec.objectives.base import ListBatch, Objective


class RerankData(TrainingData):
    """Prompts, identifiers and target orders of a dataset's lists for one tokenizer.

    The response is the ranking: an identifier each, the most relevant candidate's first, then EOS.
    """

    def __init__(self, dataset: Dataset, backbone: Backbone, config: DictConfig) -> None:
        """config: the resolved run config (task, dataset.wording, backbone.max_length, trainer, seed)."""
        super().__init__(dataset, config)
        self.tokenizer = backbone.tokenizer
        self.size = int(config.task.candidates)
        self.identifiers = find_identifiers(self.tokenizer, self.size)
        self.trie = Permutations.of(self.identifiers.tokens.tolist(), self.tokenizer.eos_token_id)

    def prompts(self, lists: Lists) -> ListPrompts:
        """The prompts of some lists."""
        limit = self.config.backbone.max_length - ranking_room(self.size)
        return ListPrompts(
            self.tokenizer, self.config.dataset.wording, self.identifiers, limit, lists, self.dataset.items
        )

    def setup_training(self, objective: Objective, validation: Lists) -> None:
        """Tokenises the training lists and asks the objective for its positions."""
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
        """As TrainingData says."""
        return self.list_prompts.prompts

    @property
    def added_tokens(self) -> int:
        """The tokens of the ranking, and of each other order those of the candidates and the ranking again."""
        return self.size + self.objective.permutations * int(self.sample_prompts.lengths.max() - self.shared)

    @property
    def validation_rows(self) -> int:
        """As TrainingData says."""
        return len(self.validation)

    def batch(self, rows: np.ndarray) -> ListBatch:
        """The micro-batch of some lists: each in its stored order, then in those that the objective asks for."""
        orders = self._orders(rows)
        place = orders.argsort(axis=2)
        target = self.target[rows]
        written = np.take_along_axis(place, target[:, None], axis=2)
        prompts = [[self.list_prompts.prompts.of(row)] for row in rows]
        for branch in range(1, orders.shape[1]):
            for row, prompt in zip(prompts, self.list_prompts.shown(rows, orders[:, branch]), strict=True):
                row.append(prompt)
        return self._build(rows, prompts, place, written, target)

    def _orders(self, rows: np.ndarray) -> np.ndarray:
        """int64 [rows, branches, m]: the candidates in the order in which each branch shows them."""
        stored = np.arange(self.size)
        drawn = [
            [stored, *(self._generator(row).permuted(np.tile(stored, (self.objective.permutations, 1)), axis=1))]
            for row in rows
        ]
        return np.array(drawn)

    def _generator(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, self.epoch, int(row)])

    def _build(
        self,
        rows: np.ndarray,
        prompts: list[list[np.ndarray]],
        place: np.ndarray,
        written: np.ndarray,
        target: np.ndarray,
    ) -> ListBatch:
        """written: int64 [rows, branches, m], the place (and so the identifier) of the candidate in each slot."""
        identifiers = self.identifiers.tokens
        asked = [self.supervised, *[np.arange(self.size)] * (place.shape[1] - 1)]
        eos = np.full((*written.shape[:2], 1), self.tokenizer.eos_token_id)
        responses = np.concatenate([identifiers[written], eos], axis=2)
        # The identifiers that are left before each token, as bits.
        left = 2**self.size - 1 - np.concatenate([np.zeros_like(eos), (1 << written).cumsum(axis=2)], axis=2)
        begin = [_common(row) for row in prompts]
        fed = [
            [
                np.concatenate([prompt[start:], response[: at[-1]]])
                for prompt, response, at in zip(row, of, asked, strict=True)
            ]
            for row, of, start in zip(prompts, responses, begin, strict=True)
        ]
        shared = min(self.shared, *(start - 1 for start in begin))
        packed, starts = pack([row[0][:start] for row, start in zip(prompts, begin, strict=True)], fed, shared)
        parts = [
            np.stack(
                [
                    predictor_columns(starts[r][b], len(prompts[r][b]) - begin[r] + at),
                    responses[r, b, at],
                    left[r, b, at],
                    np.full(len(at), r),
                    np.full(len(at), b),
                ]
            )
            for r in range(len(rows))
            for b, at in enumerate(asked)
        ]
        at, token, node, row, branch = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64)).unbind(0)
        return ListBatch(
            packed, at, token, node, row, branch, torch.from_numpy(rows), torch.tensor(len(rows) * (self.size + 1)),
            identifiers=torch.from_numpy(identifiers), place=torch.from_numpy(place), target=torch.from_numpy(target),
            gains=self.gains[rows],
        )  # fmt: skip


def _common(prompts: list[np.ndarray]) -> int:
    """How many tokens all begin with, at least one short of a branch that differs; all of it where there is one."""
    least = min(map(len, prompts))
    same = np.all([prompt[:least] == prompts[0][:least] for prompt in prompts], axis=0)
    return least if same.all() else int(same.argmin())
