"""Validation metrics during training, accumulated over batches and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMeans(Metric):
    """Means of named values over the rows of all batches, with standard errors.

    The states are sums, so the result depends neither on the batch size nor on the number of processes.
    """

    full_state_update = False
    higher_is_better = True

    sums: Tensor
    squares: Tensor
    users: Tensor

    def __init__(self, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = list(names)
        # In float32, the difference of the two sums would be too inexact for the standard error of many rows.
        self.add_state("sums", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, Tensor]) -> None:
        """Adds a batch, given as values [rows] of each name."""
        table = torch.stack([values[name].double().to(self.device) for name in self.names])
        self.sums += table.sum(1)
        self.squares += table.square().sum(1)
        self.users += table.shape[1]

    def compute(self) -> dict[str, Tensor]:
        """Returns the number of rows (`users`) and each name's mean and standard error (NAME_se).

        Means need one row, standard errors two; otherwise they are omitted.
        """
        metrics = {"users": self.users}
        if self.users > 0:
            metrics |= dict(zip(self.names, self.sums / self.users, strict=True))
        if self.users > 1:
            variance = (self.squares - self.sums**2 / self.users) / (self.users - 1)
            errors = (variance.clamp(min=0) / self.users).sqrt()
            metrics |= {f"{name}_se": error for name, error in zip(self.names, errors, strict=True)}
        return metrics
