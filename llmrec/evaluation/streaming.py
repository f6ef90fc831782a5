"""Validation metrics during training, accumulated over batches and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class RowMeans(Metric):
    """Means of named values over the rows of all batches, with standard errors clustered by user.

    The states are sums by user, so the result depends neither on the batch size nor on the number of processes.
    """

    full_state_update = False
    higher_is_better = True

    sums: Tensor
    counts: Tensor

    def __init__(self, names: Sequence[str], users: int, **kwargs: Any) -> None:
        """Sets up the sums.

        Args:
            names: Names of the values.
            users: Number of users.
            kwargs: See torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.names = list(names)
        self.add_state("sums", torch.zeros(len(self.names), users, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(users, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, Tensor], user: Tensor) -> None:
        """Adds a batch.

        Args:
            values: Values [rows] of each name.
            user: The user of each row as a number below `users`, int64 [rows].
        """
        user = user.to(self.device)
        table = torch.stack([values[name].double().to(self.device) for name in self.names])
        self.sums.index_add_(1, user, table)
        self.counts += torch.bincount(user, minlength=len(self.counts))

    def compute(self) -> dict[str, Tensor]:
        """Returns the numbers of rows and users, and each name's mean and standard error (NAME_se).

        Means need one row, standard errors two users; otherwise they are omitted. The standard error is that of
        `clustered_standard_error`.
        """
        rows, users = self.counts.sum(), (self.counts > 0).sum()
        metrics = {"rows": rows, "users": users}
        if rows > 0:
            means = self.sums.sum(1) / rows
            metrics |= dict(zip(self.names, means, strict=True))
        if users > 1:
            residuals = self.sums - self.counts * means[:, None]
            errors = (users / (users - 1) * residuals.square().sum(1)).sqrt() / rows
            metrics |= {f"{name}_se": error for name, error in zip(self.names, errors, strict=True)}
        return metrics
