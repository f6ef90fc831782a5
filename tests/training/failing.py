"""Objectives that go wrong at a chosen step."""

from typing import Literal

import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Batch, Sums
from llmrec.objectives.sft import SFT


class NanAt(SFT):
    """SFT whose loss, or whose gradient alone, is NaN at one optimizer step."""

    def __init__(self, step: int, where: Literal["loss", "gradient"]) -> None:
        super().__init__()
        self.step, self.where, self.taken = step, where, 0

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """SFT's, spoilt at the chosen step."""
        losses, statistics = super().token_losses(encoded, batch)
        if self.taken == self.step and self.where == "loss":
            return losses * torch.nan, statistics
        if self.taken == self.step:
            losses.register_hook(lambda gradient: gradient * torch.nan)
        return losses, statistics

    def close_step(self, statistics: Sums) -> None:
        """Counts the steps."""
        self.taken += 1
