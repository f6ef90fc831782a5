"""Training of SASRec epoch by epoch, and how far a fit has come, so that an interrupted one goes on."""

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


class Training:
    """A network that is trained epoch by epoch; an epoch's random numbers depend on the seed and its number alone.

    sequences: int64 [rows, length + 1], a padded history and its target.
    """

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, sequences: Tensor, batch_size: int, seed: int
    ) -> None:
        self.network, self.optimizer, self.sequences = network, optimizer, sequences
        self.batch_size, self.seed = batch_size, seed
        self.epochs = 0

    def epoch(self) -> float:
        """Trains for one more epoch; returns the mean loss of its rows."""
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
        """What `load` goes on from."""
        network, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        return {"network": network, "optimizer": optimizer, "epochs": self.epochs}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epochs = state["epochs"]


@dataclass
class FitState:
    """How far a fit has come, kept in its checkpoint.

    identity: what the fit is of, which tells whether a checkpoint is its own; curve: validation NDCG@10 by epoch;
    selected: the weights of the best epoch; phase, training: the network being trained and how far its training is.
    """

    identity: list[Any]
    curve: list[float] = field(default_factory=list)
    selected: dict[str, Tensor] = field(default_factory=dict)
    phase: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._counted_until = time.perf_counter()

    @classmethod
    def of(cls, checkpoint: Path, identity: list[Any]) -> "FitState":
        """What the checkpoint says, or a start if there is none or it is of another fit."""
        if checkpoint.is_file():
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            if saved["identity"] == identity:
                return cls(**saved)
        return cls(identity)

    def write(self, checkpoint: Path, phase: str, training: Training) -> None:
        """Puts a training of a phase, as it stands, into the checkpoint."""
        self.phase, self.training = phase, training.state()
        self.count_seconds()
        with atomic_file(checkpoint) as temporary:
            torch.save({each.name: getattr(self, each.name) for each in fields(self)}, temporary)

    def count_seconds(self) -> float:
        """Adds the time since they were last counted to the seconds of the fit; returns them."""
        now = time.perf_counter()
        self.seconds, self._counted_until = self.seconds + now - self._counted_until, now
        return self.seconds

    @property
    def chosen_epoch(self) -> int:
        """The first of the best epochs, from 1; 0 before the first."""
        return int(np.argmax(self.curve)) + 1 if self.curve else 0

    def ended(self, most_epochs: int, patience: int) -> bool:
        """Whether the epochs are used up or the last `patience` of them were no better than one before."""
        return len(self.curve) >= most_epochs or len(self.curve) - self.chosen_epoch >= patience


@contextmanager
def seeded(seed: int, epoch: int, device: str) -> Iterator[None]:
    """Within, torch draws by the seed and the epoch; afterwards it goes on as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.startswith("cuda") else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        yield
