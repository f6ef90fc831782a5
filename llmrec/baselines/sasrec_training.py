"""Trains SASRec epoch by epoch, and stores the state of a fit so that an interrupted one can be resumed."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from llmrec.atomic import atomic_file
from llmrec.baselines.sasrec_network import Network
from llmrec.manifest import folder_manifest


class Training:
    """Trains a network epoch by epoch. An epoch's random numbers depend only on the seed and the epoch's number.

    Args:
        network: The network.
        optimizer: The optimizer of its weights.
        sequences: Left-padded histories followed by their targets, int64 [rows, length + 1].
        batch_size: Rows of a batch.
        seed: The seed.
    """

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, sequences: Tensor, batch_size: int, seed: int
    ) -> None:
        self.network, self.optimizer, self.sequences = network, optimizer, sequences
        self.batch_size, self.seed = batch_size, seed
        self.epochs = 0

    def epoch(self) -> float:
        """Trains for one more epoch and returns the mean loss over its rows."""
        self.epochs += 1
        self.network.train()
        total = 0.0
        with seeded(self.seed, self.epochs, str(self.sequences.device)):
            order = torch.randperm(len(self.sequences)).to(self.sequences.device)
            for batch in self.sequences[order].split(self.batch_size):
                total += self._step(batch) * len(batch)
        self.network.eval()
        return total / len(self.sequences)

    def _step(self, batch: Tensor) -> float:
        loss = functional.cross_entropy(self.network.scores(self.network(batch[:, :-1])), batch[:, -1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Returns the state from which `load` resumes."""
        network, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        return {"network": network, "optimizer": optimizer, "epochs": self.epochs}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resumes from a state that `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epochs = state["epochs"]


@dataclass
class FitState:
    """State of a fit, as stored in its checkpoint.

    Attributes:
        identity: Settings, seed and data of the fit. A checkpoint is used only if they are equal.
        curve: Validation NDCG@10 of each epoch.
        selected: Weights of the best epoch.
        phase: The network being trained, "selected" or "final"; None before the first epoch.
        training: State of its training (`Training.state`).
        seconds: Duration of the fit so far.
    """

    identity: list[Any]
    curve: list[float] = field(default_factory=list)
    selected: dict[str, Tensor] = field(default_factory=dict)
    phase: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._last_update = time.perf_counter()

    @classmethod
    def load(cls, checkpoint: Path, identity: list[Any]) -> "FitState":
        """Reads the state of a checkpoint; returns an initial state if there is none or it belongs to another fit."""
        if checkpoint.is_file():
            restart = f"Delete the folder {checkpoint.parent}: the same command then fits from the beginning"
            folder_manifest(checkpoint.parent).check(restart, checkpoint.name)
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            if saved["identity"] == identity:
                return cls(**saved)
        return cls(identity)

    def write(self, checkpoint: Path, phase: str, training: Training) -> None:
        """Writes the checkpoint with the present state of a phase's training."""
        self.phase, self.training = phase, training.state()
        self.update_seconds()
        with folder_manifest(checkpoint.parent).recorded(checkpoint.name), atomic_file(checkpoint) as temporary:
            torch.save({field.name: getattr(self, field.name) for field in fields(self)}, temporary)

    def update_seconds(self) -> float:
        """Adds the time since the last update to `seconds` and returns the sum."""
        now = time.perf_counter()
        self.seconds, self._last_update = self.seconds + now - self._last_update, now
        return self.seconds

    @property
    def chosen_epoch(self) -> int:
        """Number of the best epoch, from 1, the first one of a tie; 0 before the first epoch."""
        return int(np.argmax(self.curve)) + 1 if self.curve else 0

    def is_finished(self, max_epochs: int, patience: int) -> bool:
        """Returns whether the maximum number of epochs is reached, or the last `patience` epochs brought no gain."""
        return len(self.curve) >= max_epochs or len(self.curve) - self.chosen_epoch >= patience


@contextmanager
def seeded(seed: int, epoch: int, device: str) -> Iterator[None]:
    """Seeds torch with the seed and the epoch inside the context, and restores its random state afterwards."""
    with torch.random.fork_rng([device] if device.startswith("cuda") else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        yield
