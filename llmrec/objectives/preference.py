"""The base of preference objectives, which compare a target with rejected titles under a frozen reference model."""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from llmrec.backbones.array_cache import cached_array, content_hash
from llmrec.backbones.backbone import Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.collectives import map_across_ranks
from llmrec.components import code
from llmrec.objectives.base import Objective, Part, Sums, TokenLoss
from llmrec.objectives.batch import Batch, Branch, Example
from llmrec.objectives.msl import MSL
from llmrec.objectives.preparation import Preparation, encoded_batches
from llmrec.objectives.rejected.base import Rejected
from llmrec.objectives.sft import SFT
from llmrec.settings.types import PositiveFloat, PositiveInt

logger = logging.getLogger(__name__)
Scores = Literal["vocab", "trie"]


class Preference(Objective):
    """Base of losses on the implicit rewards r(title) = beta * (log pi(title | prompt) - log ref(title | prompt)).

    ref is the model that training starts from. Its log-probabilities are constants, computed once and cached on disk.
    The target and the rejected titles are branches of one prompt. Log-probabilities are sums over a title's tokens.

    Args:
        rejected: The sampler of rejected titles.
        beta: Strength of the KL penalty that keeps the model close to the reference.
        negatives: Number of rejected titles per row.
        scores: Normalize log-probabilities over the whole vocabulary ("vocab") or over the valid tokens ("trie").
        learning_rate_factor: Factor on trainer.learning_rate.
        max_epochs: Upper limit on trainer.epochs, None for no limit.
    """

    def __init__(
        self,
        rejected: Rejected,
        beta: PositiveFloat,
        negatives: PositiveInt,
        scores: Scores,
        learning_rate_factor: PositiveFloat,
        max_epochs: PositiveInt | None,
    ) -> None:
        super().__init__()
        self.rejected, self.beta, self.negatives = rejected, beta, negatives
        self.tasks, self.branch_count = rejected.tasks, 1 + negatives
        self.learning_rate_factor, self.max_epochs = learning_rate_factor, max_epochs
        self.token_loss: TokenLoss = SFT() if scores == "vocab" else MSL(temperature=1.0)
        self.monitored: dict[str, Tensor] = {}

    @abstractmethod
    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        """Computes the loss of each row.

        Args:
            rewards: The target's reward, then those of the rejected titles, [rows, 1 + negatives].
            example: The index of each row in the training sample, int64 [rows].

        Returns:
            float32 [rows].
        """

    def prepare(self, preparation: Preparation) -> None:
        """Samples the rejected titles and computes the reference model's log-probabilities."""
        self.token_loss.prepare(preparation)
        data = preparation.catalogue
        rows = np.arange(len(data.sample.rows))
        self.titles = self.rejected.sample(preparation, rows, self.negatives)
        self.prepare_rewards(preparation)

    def prepare_rewards(self, preparation: Preparation) -> None:
        """Computes what `rewards` needs besides the model: the reference model's log-probabilities."""
        self.reference = torch.from_numpy(self._reference(preparation)).to(preparation.backbone.device)

    def branches(self, example: Example) -> list[Branch]:
        """Returns the prompt with the target, then with each rejected title."""
        rejected = [example.title(title) for title in self.titles[example.index].tolist()]
        return [Branch(example.prompt, response) for response in (example.target, *rejected)]

    def supervised(self, fan_out: Tensor) -> Tensor:
        """Supervises every token of a title, or with "trie" scores those at positions with several valid tokens."""
        return self.token_loss.supervised(fan_out)

    def batch_indices(self, batch: Batch, trie: Trie | Permutations) -> dict[str, Tensor]:
        return self.token_loss.batch_indices(batch, trie)

    def totals(self, batch: Batch) -> Sums:
        """Returns the number of rows."""
        return {"rows": torch.full((), len(batch.example), device=batch.example.device)}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        """Computes the batch's part of the mean loss over the step's rows."""
        rewards = self.rewards(self.log_probabilities(encoded, batch), batch.example)
        losses = self.losses(rewards, batch.example)
        margin = rewards[:, 0] - rewards[:, 1:].amax(dim=1)
        sums = {
            "rows": torch.full((), len(margin), dtype=torch.float64, device=margin.device),
            "margin": margin.detach().double().sum(),
            "preferred": (margin > 0).double().sum(),
        }
        return Part(losses.sum() / totals["rows"], sums)

    def rewards(self, log_probabilities: Tensor, example: Tensor) -> Tensor:
        """Returns the implicit reward of each title.

        Args:
            log_probabilities: log pi of the target, then of the rejected titles, float32 [rows, 1 + negatives].
            example: The index of each row in the training sample, int64 [rows].

        Returns:
            float32 [rows, 1 + negatives].
        """
        return self.beta * (log_probabilities - self.reference[example])

    def log_probabilities(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Returns log P(title | prompt) of each branch, float32 [rows, 1 + negatives]."""
        losses = self.token_loss.checked_losses(encoded, batch)[0]
        branches = 1 + self.negatives
        summed = losses.new_zeros(len(batch.example) * branches)
        return -summed.index_add(0, batch.row * branches + batch.branch, losses).view(-1, branches)

    def close_step(self, statistics: Sums) -> None:
        """Stores the step's mean margin and the share of rows that prefer the target, for `monitors`."""
        rows = statistics["rows"]
        self.monitored = {name: statistics[name] / rows for name in ("margin", "preferred")}

    def monitors(self) -> Mapping[str, Tensor]:
        """Returns means over the last step's rows.

        margin: the target's reward minus the highest reward of a rejected title; preferred: whether this is above 0.
        """
        return self.monitored

    def report(self) -> dict[str, Any]:
        """Returns how many titles were sampled as rejected, and how many distinct ones."""
        return {"rejected": {"titles": int(self.titles.size), "distinct": len(np.unique(self.titles))}}

    def _reference(self, preparation: Preparation) -> np.ndarray:
        """Returns log ref(title | prompt) under the model that training starts from, float32 [rows, 1 + negatives]."""
        data, backbone = preparation.catalogue, preparation.backbone
        titles = np.column_stack([data.sample_titles, self.titles])
        content = (data.sample.prompts.tokens, data.sample.prompts.offsets, titles, data.titles.tokens, data.path)
        own = code((), (type(self).__module__, type(self.token_loss).__module__))
        settings = (type(self.token_loss).__name__, backbone.uses_plain_path, own)

        def score() -> np.ndarray:
            logger.info("reference log-probabilities of %s titles", f"{titles.size:,}")
            return map_across_ranks(len(titles), lambda rank_rows: self._score(preparation, rank_rows))

        key = content_hash(backbone, content, *settings)
        return cached_array(preparation.cache_dir / "reference", key, titles.shape, score, "reference")

    def _score(self, preparation: Preparation, rows: np.ndarray) -> np.ndarray:
        scored = np.zeros((len(preparation.catalogue.sample.rows), 1 + self.negatives), dtype=np.float32)
        with tqdm(total=len(rows), desc="reference", unit="row", leave=False, disable=None) as bar:
            for batch_rows, batch, encoded in encoded_batches(preparation, rows):
                scored[batch_rows] = self.log_probabilities(encoded, batch).float().cpu().numpy()
                bar.update(len(batch_rows))
        return scored[rows]


class SeveralRejected(Preference):
    """Base of losses on several rejected titles per target. See `Preference` for the arguments."""

    def __init__(
        self,
        rejected: Rejected,
        negatives: PositiveInt = 3,
        beta: PositiveFloat = 0.1,
        scores: Scores = "vocab",
        learning_rate_factor: PositiveFloat = 0.1,
        max_epochs: PositiveInt | None = 3,
    ) -> None:
        super().__init__(rejected, beta, negatives, scores, learning_rate_factor, max_epochs)


class Pairwise(Preference):
    """Base of losses on pairs: L = softplus(-u) + eps * u, with u = r(target) - r(rejected).

    This equals -(1 - eps) log sigma(u) - eps log sigma(-u), which is smallest at u = ln((1 - eps) / eps). eps = 0 is
    DPO, and one eps for all pairs is conservative DPO. Source: our reading of RosePO (arXiv 2410.12519).
    """

    @abstractmethod
    def smoothing(self, example: Tensor) -> Tensor:
        """Returns the label-smoothing factor eps, from 0 to below 1.

        Args:
            example: The index of each row in the training sample, int64 [rows].

        Returns:
            float32 [rows], or a scalar for all rows.
        """

    def losses(self, rewards: Tensor, example: Tensor) -> Tensor:
        return smoothed_loss(rewards[:, 0] - rewards[:, 1], self.smoothing(example))


def smoothed_loss(u: Tensor, eps: Tensor | float) -> Tensor:
    """Returns softplus(-u) + eps * u. Its derivative in u is sigma(u) - (1 - eps)."""
    return functional.softplus(-u) + eps * u
