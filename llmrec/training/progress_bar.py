"""The progress bar of training."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

SHOWN = {"train/loss": "loss", "valid/ndcg@10": "NDCG@10"}
"""What is shown beside the bar, by the names that are logged. A line of 80 columns has room for two values."""


class TrainingProgress(TQDMProgressBar):
    """Lightning's progress bar with short names, and without the name of the logger's folder."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns the values shown beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        return {shown: metrics[name] for name, shown in SHOWN.items() if name in metrics}
