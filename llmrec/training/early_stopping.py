"""Early stopping that holds across resumes."""

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping


class ResumableEarlyStopping(EarlyStopping):
    """Ends a training when the monitored value has not improved for `patience` validations.

    All ranks stop together, and checkpoints hold the best value and the number of validations since.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        """Creates the callback.

        Args:
            monitor: Name of the logged validation value; higher is better.
            patience: Number of successive validations without improvement after which the training ends, at least 1.
        """
        # After the validation, and thus before the epoch's last checkpoint, which then holds this validation's outcome.
        super().__init__(monitor, patience=patience, mode="max", check_on_train_epoch_end=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a resumed training that had stopped already: Lightning restores the count, but not the decision."""
        trainer.should_stop = self.wait_count >= self.patience
