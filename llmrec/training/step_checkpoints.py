"""Checkpoints inside an epoch: every few minutes or steps, and when a signal ends the training."""

import os
import random
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from llmrec.collectives import any_across_ranks, gather_across_ranks
from llmrec.training.curves import CurvesLogger
from llmrec.training.module import Recommender

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, the end of a SLURM job, and the signals that SLURM can send before a time limit."""
SAVING = b"saving a checkpoint at the end of this step; Ctrl-C again stops without one\n"


class StepCheckpoints(Callback):
    """Saves the last checkpoint between the batches of an epoch, so that a training resumes from there.

    A signal in training saves a checkpoint at the end of the current batch and then ends the process: SIGINT by
    KeyboardInterrupt, the others as SIGTERM does outside training. Where SIGTERM is ignored, as in the jobs of
    launcher=slurm, the training goes on instead. A signal during validation ends the process at once.

    There is no checkpoint after the last batch of an epoch: that of the epoch follows, after the validation.
    """

    def __init__(self, file: Path, minutes: float | None, steps: int | None, curves: CurvesLogger) -> None:
        """Creates the callback.

        Args:
            file: The checkpoint's file, which each checkpoint replaces.
            minutes: Time between two checkpoints; None for no limit.
            steps: Number of optimizer steps between two checkpoints; None for no limit.
            curves: The logger whose file is reset to the step of the checkpoint.
        """
        self.file, self.minutes, self.steps, self.curves = file, minutes, steps, curves
        # Lightning replaces the handler of SIGTERM: with its own, a terminated training would exit with status 0.
        self.handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self.received: int | None = None
        self.defers = True
        self.place: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Returns the place in the epoch, empty in the checkpoint of a whole epoch."""
        return self.place

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number in SIGNALS:
            signal.signal(number, self._receive)
        if self.place:
            self._restore(trainer, pl_module)
        self._start_counting(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the training if a signal came in the last batch before: the epoch's checkpoint is written."""
        self._end_if_received(pl_module)
        self._start_counting(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_if_received(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.defers = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.defers = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves a checkpoint if one is due on any rank, and ends the training if a signal has asked for it."""
        if trainer.is_last_batch:
            return
        # In this order, because a signal may arrive in between: none ends the training without a checkpoint.
        ends = self._ends
        is_due = self.received is not None or self._is_due(trainer)
        is_due, ends = any_across_ranks([is_due, ends], pl_module.device)
        if is_due:
            self._save(trainer, pl_module)
        if ends:
            self._end()

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        # Lightning logs the values of this step only after this hook.
        values = {name: float(value) for name, value in trainer.logged_metrics.items() if name.startswith("train/")}
        self.place = {
            "logged_step": trainer.fit_loop.total_batch_idx,
            "values": values,
            "random_states": gather_across_ranks(random_state(module.device)),
        }
        # Without the argument, Lightning prints its default.
        trainer.save_checkpoint(self.file, weights_only=False)
        self.place = {}
        if not self._ends:
            self.received = None
        self._start_counting(trainer)

    def _restore(self, trainer: Trainer, module: LightningModule) -> None:
        """Restores what Lightning does not: the objective's epoch, the random states and the values of the step."""
        assert isinstance(module, Recommender)
        module.resume_epoch()
        states = self.place["random_states"]
        # With another number of ranks, no rank draws what it would have drawn: the epoch's seeds are as good.
        if len(states) == trainer.world_size:
            set_random_state(states[trainer.global_rank], module.device)
        self.curves.rewind(self.place["logged_step"])
        self.curves.log_metrics(self.place["values"], self.place["logged_step"])
        self.place = {}

    def _start_counting(self, trainer: Trainer) -> None:
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _is_due(self, trainer: Trainer) -> bool:
        by_time = self.minutes is not None and time.monotonic() - self.saved_at >= 60 * self.minutes
        return by_time or (self.steps is not None and trainer.global_step - self.saved_step >= self.steps)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_second = self.received == number == signal.SIGINT
        self.received = number
        if self._ends and (is_second or not self.defers):
            self._end()
        elif number == signal.SIGINT:
            # Not by print: the signal may have interrupted it.
            os.write(2, SAVING)

    @property
    def _ending(self) -> signal.Signals:
        """The signal that ends this process, if one has been received."""
        return signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM

    @property
    def _ends(self) -> bool:
        return self.received is not None and self.handlers[self._ending] is not signal.SIG_IGN

    def _end_if_received(self, module: LightningModule) -> None:
        if any_across_ranks([self._ends], module.device)[0]:
            self._end()

    def _end(self) -> None:
        """Ends this process as the signal does outside training."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        signal.raise_signal(self._ending)


def random_state(device: torch.device) -> dict[str, Any]:
    """Returns the states of Python's, NumPy's and torch's random generators, in types that torch.load accepts.

    Args:
        device: The training device, whose generator is included if it is a GPU.
    """
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    key = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    state = {
        "python": random.getstate(),
        "numpy": numpy_state | {"state": numpy_state["state"] | {"key": key}},
        "torch": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Sets the generators to what `random_state` returned; a GPU's only if the state is that of a GPU."""
    random.setstate(state["python"])
    words = state["numpy"]["state"]
    numpy_state = state["numpy"] | {"state": words | {"key": words["key"].numpy().astype(np.uint32)}}
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
