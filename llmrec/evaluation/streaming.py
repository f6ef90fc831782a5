"""Validation metrics while training: sums and counts that accumulate over batches and processes."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class RankMetrics(Metric):
    """NDCG@10, its standard error and HR@10 from the ranks of each batch; equal to `accuracy` over all of them.

    The states are sums, so neither the split into batches nor the number of processes matters.
    """

    full_state_update = False
    higher_is_better = True

    ndcg_sum: Tensor
    ndcg_square_sum: Tensor
    hits: Tensor
    users: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # float64: in float32 the difference of the two sums loses the standard error of a large validation set.
        self.add_state("ndcg_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("ndcg_square_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, ranks: Tensor) -> None:
        """Adds a batch of ranks: int [users], 1-based, 0 = absent."""
        hit = (ranks > 0) & (ranks <= 10)
        ndcg = 1 / torch.log2(1 + ranks[hit].double())
        self.ndcg_sum += ndcg.sum()
        self.ndcg_square_sum += ndcg.square().sum()
        self.hits += hit.sum()
        self.users += ranks.numel()

    def compute(self) -> dict[str, Tensor]:
        """ndcg@10, ndcg@10_se, hr@10 and users over all batches; what too few users cannot give is left out."""
        metrics = {"users": self.users}
        if self.users > 0:
            metrics |= {"ndcg@10": self.ndcg_sum / self.users, "hr@10": self.hits.double() / self.users}
        if self.users > 1:
            variance = (self.ndcg_square_sum - self.ndcg_sum**2 / self.users) / (self.users - 1)
            metrics["ndcg@10_se"] = (variance.clamp(min=0) / self.users).sqrt()
        return metrics
