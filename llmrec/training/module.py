"""The Lightning module: one training step is one optimizer step, validation is a ranking."""

import logging
import resource
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningModule, seed_everything
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ParallelStrategy
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler

from llmrec.backbones.backbone import Backbone
from llmrec.collectives import all_reduce_gradients, all_reduce_sums, padding_batch
from llmrec.errors import InputError
from llmrec.evaluation.streaming import RowMeans
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData
from llmrec.examples.training_data import Step
from llmrec.objectives.base import Batch, Objective, Part, Preparation, Sums
from llmrec.training.sharded import ShardedAdamW, clip, in_one_pass, unsharded
from llmrec.training.validation import names_of, validate

logger = logging.getLogger(__name__)


class Recommender(LightningModule):
    """Tunes a backbone with an objective.

    Optimisation is manual, because a batch here is a whole optimizer step: its denominators are counted over all
    micro-batches and ranks before the first backward pass, and the objective's state moves when it is closed.
    """

    def __init__(
        self,
        backbone: Backbone,
        objective: Objective,
        data: NextItemData | RerankData,
        config: DictConfig,
        preparation: Callable[[torch.device], Preparation],
    ) -> None:
        """config: the resolved run config (groups trainer and validation, seed); preparation: for a device."""
        super().__init__()
        self.automatic_optimization = False
        self.backbone, self.objective = backbone, objective
        self.data, self.config, self.preparation = data, config, preparation
        self.means = RowMeans(names_of(data))
        self.prepare_seconds = 0.0
        self.largest_micro_batch = 0
        """In rows, so far."""

    def setup(self, stage: str) -> None:
        """Lets the objective look at model and data, where they will be trained and all ranks can talk to each other.

        A resume brings other weights only after this.
        """
        started = time.perf_counter()
        device = self.trainer.strategy.root_device
        self.to(device)
        self.objective.prepare(self.preparation(device))
        self.prepare_seconds = time.perf_counter() - started

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LambdaLR]]:
        """AdamW with linear warm-up and linear decay to zero over the whole training."""
        settings = self.config.trainer
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        learning_rate = settings.learning_rate * self.objective.learning_rate_factor
        optimizer = ShardedAdamW(weights, lr=learning_rate, weight_decay=settings.weight_decay)
        total = epochs_of(self.objective, self.config) * self.data.steps_per_epoch
        warmup = settings.warmup_steps

        def factor(step: int) -> float:
            return min((step + 1) / max(warmup, 1), (total - step) / max(total - warmup, 1), 1.0)

        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, factor)]

    def on_train_epoch_start(self) -> None:
        """Seeds the epoch by itself, so that dropout after a resume is what it would have been."""
        with unsharded(self.backbone):
            self.objective.start_epoch(self.current_epoch)
        seed = self.config.seed * 1_000_003 + self.current_epoch + self.global_rank
        # Generators take 32 bits.
        seed_everything(seed % 2**32, verbose=False)

    def training_step(self, step: Step, _: int) -> None:
        """One optimizer step over this rank's micro-batches."""
        started = time.perf_counter()
        optimizer, schedule = self._optimizer(), self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        statistics = self._gradients(step)
        loss, tokens = float(statistics.pop("loss")), int(statistics.pop("fed"))
        self._refuse_nan("loss", loss)
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        all_reduce_gradients(trained)
        norm = clip(trained, self.config.trainer.clip)
        # Of the last step before a checkpoint no later loss would tell.
        self._refuse_nan("norm of the gradient", norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        self.objective.close_step(statistics)
        self._log_step(loss, norm, tokens, started)

    def _gradients(self, step: Step) -> Sums:
        """Computes the step's gradients; where memory runs out, once more in micro-batches of half the rows.

        Returns the statistics of the step, over micro-batches and ranks.
        """
        while (parts := self._parts(step)) is None:
            # Out here, for an error that is being handled keeps the tensors of the pass alive.
            self._optimizer().zero_grad()
            torch.cuda.empty_cache()
            step = self.data.with_halved_micro_batches(step).to(self.device)
            limit = self.data.micro_batch_limit
            logger.warning("out of memory: micro-batches have at most %s rows from here on", limit)
        return all_reduce_sums(add(parts))

    def _parts(self, step: Step) -> list[Sums] | None:
        batches = step.weighted_batches()
        try:
            totals = all_reduce_sums(add(scaled(self.objective.totals(batch), counts) for batch, counts in batches))
            with self._own_gradients():
                parts = [self._backward(batch, counts, totals) for batch, counts in batches]
        except torch.OutOfMemoryError as error:
            if not self._may_halve(step):
                raise InputError(f"the device's memory does not hold {self._remedy()}") from error
            return None
        self.largest_micro_batch = max(self.largest_micro_batch, *(len(batch.example) for batch, _ in batches))
        return parts

    def _remedy(self) -> str:
        if self.objective.needs_whole_step:
            return "a step of this training: set a smaller trainer.batch_size, or statistics=previous_step"
        return (
            "a micro-batch of this training: set a smaller trainer.micro_batch_size (or auto, on one device), or "
            "backbone.gradient_checkpointing=true"
        )

    def _may_halve(self, step: Step) -> bool:
        # Other ranks would be left alone in what they reduce together.
        alone = self.trainer.world_size == 1 and not self.objective.needs_whole_step
        automatic = self.config.trainer.micro_batch_size == "auto"
        return alone and automatic and any(len(batch.example) > 1 for batch in step.batches)

    def _backward(self, batch: Batch, counts: float, totals: Sums) -> Sums:
        """Adds the gradients of a micro-batch's part of the loss; what it adds to the statistics (counts: 0 or 1)."""
        with nullcontext() if counts else padding_batch():
            packed = in_one_pass(self.backbone, batch.packed)
            part: Part = self.objective(self.backbone.encode(packed, batch.at), batch, totals)
        self.manual_backward(part.loss * counts)
        added = {"loss": part.loss.detach().double(), "fed": (batch.packed.branch >= 0).sum()}
        return scaled(part.statistics | added, counts)

    def _own_gradients(self) -> AbstractContextManager[Any]:
        """Within it DDP reduces nothing: once a step is enough, and ranks need not agree on more than that."""
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()

    def validation_step(self, rows: np.ndarray, _: int) -> None:
        """Ranks this rank's share of the validation sample."""
        with unsharded(self.backbone):
            self.means.update(validate(self.backbone, self.data, rows, self.config.validation.beams))

    def on_validation_epoch_end(self) -> None:
        """Logs what the checkpoint is chosen by, with its standard error."""
        for name, value in self.means.compute().items():
            self.log(f"valid/{name}", float(value), prog_bar=name == "ndcg@10")
        self.means.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves frozen weights out: they are opened again from where they came."""
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        kept = {name for name in checkpoint["state_dict"] if name in trained or name.startswith("objective.")}
        checkpoint["state_dict"] = {name: checkpoint["state_dict"][name] for name in kept}

    def load_state_dict(self, state_dict: Any, strict: bool = False, assign: bool = False) -> Any:
        """Takes up what `on_save_checkpoint` kept, in the place of shards as whole weights: training ends with that."""
        shards = {name for name, weight in self.named_parameters() if isinstance(weight, DTensor)}
        rest = {name: value for name, value in state_dict.items() if name not in shards}
        taken = super().load_state_dict(rest, strict=False, assign=assign)
        # Last, for FSDP looks after each load whether its shards are where they were.
        for name in shards:
            place, _, own_name = name.rpartition(".")
            setattr(self.get_submodule(place), own_name, torch.nn.Parameter(state_dict[name]))
        return taken

    def _refuse_nan(self, name: str, value: float) -> None:
        if not np.isfinite(value):
            raise InputError(
                f"the {name} became {value} at step {self.global_step} (epoch {self.current_epoch}); training stops, "
                "the last good checkpoint is kept. Try a smaller trainer.learning_rate or trainer.clip, or a "
                "temperature further from 0; if backbone.dtype is bfloat16, try float32"
            )

    def _optimizer(self) -> LightningOptimizer:
        # Typed for any number of them.
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _log_step(self, loss: float, norm: float, tokens: int, started: float) -> None:
        measured = {
            "loss": loss,
            **self.objective.monitors(),
            "gradient_norm": norm,
            "learning_rate": float(self._optimizer().param_groups[0]["lr"]),
            "tokens_per_second": tokens / (time.perf_counter() - started),
            "memory_gib": _memory_gib(self.device),
        }
        for name, value in measured.items():
            # A tensor stays on the CPU; Lightning would copy a number to the GPU, and back for the loggers.
            self.log(f"train/{name}", torch.tensor(value), prog_bar=name in ("loss", "tokens_per_second"))


def epochs_of(objective: Objective, config: DictConfig) -> int:
    """How many epochs a run trains for."""
    epochs = int(config.trainer.epochs)
    return epochs if objective.most_epochs is None else min(epochs, objective.most_epochs)


def add(parts: Iterable[Sums]) -> Sums:
    """Returns the sums of several parts, name by name."""
    total: Sums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value.clone()
    return total


def scaled(sums: Sums, counts: float) -> Sums:
    """The sums of a micro-batch, or zeros where it counts nothing (counts: 1 or 0)."""
    return sums if counts else {name: torch.zeros_like(value) for name, value in sums.items()}


def _memory_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
