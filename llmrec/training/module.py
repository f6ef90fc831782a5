"""The Lightning module: a training step is one optimizer step, and validation ranks titles or candidate lists."""

import logging
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from pytorch_lightning import LightningModule, seed_everything
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler

from llmrec.backbones.backbone import Backbone
from llmrec.collectives import all_reduce_gradients, all_reduce_sums, padding_batch
from llmrec.errors import InputError
from llmrec.evaluation.streaming import RowMeans
from llmrec.examples.training_data import PADDING_ROWS, Step, TrainingData
from llmrec.objectives.base import Objective, Part, Sums
from llmrec.objectives.batch import Batch
from llmrec.objectives.preparation import Preparation
from llmrec.tasks.base import Task
from llmrec.training.logged_recommendations import log_recommendations
from llmrec.training.sharded import (
    ShardedAdamW,
    clip_gradients,
    divide_gradients,
    gradient_norm,
    unsharded,
    without_shared_columns,
)

logger = logging.getLogger(__name__)


class Recommender(LightningModule):
    """Tunes a backbone with an objective.

    Optimization is manual because a batch is a whole optimizer step. Its denominators are summed over all micro-batches
    and ranks before the first backward pass, and the objective updates its state at the end of the step.

    Attributes:
        means: Running means of the validation values.
        prepare_seconds: Time that the objective needed to prepare.
        largest_micro_batch: Rows of the largest micro-batch so far.
    """

    def __init__(
        self,
        backbone: Backbone,
        objective: Objective,
        data: TrainingData,
        config: DictConfig,
        task: Task,
        preparation: Callable[[torch.device], Preparation],
    ) -> None:
        """Creates the module.

        Args:
            backbone: The model to tune.
            objective: The objective to train.
            data: Set up for training with the same objective.
            config: The resolved run config (trainer, validation and seed are read).
            task: Computes the validation values.
            preparation: Returns what the objective prepares with, for the training device.
        """
        super().__init__()
        self.automatic_optimization = False
        self.backbone, self.objective = backbone, objective
        self.data, self.config, self.task, self.preparation = data, config, task, preparation
        users, user = np.unique(data.validation_users, return_inverse=True)
        self.means, self._validation_user = RowMeans(task.validation_names, len(users)), torch.from_numpy(user)
        self.prepare_seconds = 0.0
        self.largest_micro_batch = 0

    def setup(self, stage: str) -> None:
        """Prepares the objective on the training device, once the process group exists.

        A resumed training loads the checkpoint's weights only afterwards.
        """
        started = time.perf_counter()
        device = self.trainer.strategy.root_device
        self.to(device)
        self.objective.prepare(self.preparation(device))
        self.prepare_seconds = time.perf_counter() - started

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LambdaLR]]:
        """Returns AdamW and a schedule with linear warm-up and linear decay to zero over the whole training."""
        settings = self.config.trainer
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        learning_rate = settings.learning_rate * self.objective.learning_rate_factor
        # The fused kernel updates all weights at once; torch uses it only on request.
        fused = True if weights[0].device.type == "cuda" else None
        optimizer = ShardedAdamW(weights, lr=learning_rate, weight_decay=settings.weight_decay, fused=fused)
        total = epochs_of(self.objective, self.config) * self.data.steps_per_epoch
        warmup = settings.warmup_steps

        def factor(step: int) -> float:
            return min((step + 1) / max(warmup, 1), (total - step) / max(total - warmup, 1), 1.0)

        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, factor)]

    def on_train_epoch_start(self) -> None:
        """Starts the objective's epoch and seeds it, so that a resumed training draws the same dropout masks."""
        with unsharded(self.backbone):
            self.objective.start_epoch(self.current_epoch)
        self._seed_epoch()

    def resume_epoch(self) -> None:
        """Resumes the objective's epoch and seeds it, in a training that resumes in the middle of an epoch."""
        with unsharded(self.backbone):
            self.objective.resume_epoch(self.current_epoch)
        self._seed_epoch()

    def _seed_epoch(self) -> None:
        seed = self.config.seed * 1_000_003 + self.current_epoch + self.global_rank
        # NumPy's seeds have 32 bits.
        seed_everything(seed % 2**32, verbose=False)

    def training_step(self, step: Step | list[np.ndarray], _: int) -> None:
        """Takes the optimizer steps over this rank's micro-batches, or over rows whose responses are sampled first."""
        if not isinstance(step, Step):
            step = self._with_sampled_responses(step)
        for _ in range(self.objective.inner_steps):
            self._take_step(step)

    def _with_sampled_responses(self, parts: list[np.ndarray]) -> Step:
        """Samples the responses of a step's rows (int [micro rows] for each micro-batch) and builds its batches."""
        rows = np.unique(np.concatenate([part if len(part) else PADDING_ROWS for part in parts]))
        with unsharded(self.backbone):
            self.objective.sample_responses(rows)
        return self.data.step(parts).to(self.device)

    def _take_step(self, step: Step) -> None:
        """Takes one optimizer step over this rank's micro-batches."""
        started = time.perf_counter()
        optimizer, schedule = self._optimizer(), self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        statistics = self._gradients(step)
        divisor, input_tokens = self.objective.divisor(statistics), statistics.pop("input_tokens")
        loss = statistics.pop("loss") / divisor
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        all_reduce_gradients(trained)
        if isinstance(divisor, Tensor) or divisor != 1:
            divide_gradients(trained, divisor)
        norm = gradient_norm(trained)
        self.objective.close_step(statistics)
        if self.device.type == "cuda":
            # The GPU still computes what it was given.
            self.data.loader.build_next()
        # The only place where the host waits for a GPU: it must know that the loss and the gradients are finite before
        # the weights change, and reads what is logged in the same copy.
        measured = to_floats(
            {"loss": loss, **self.objective.monitors(), "gradient_norm": norm, "input_tokens": input_tokens}
        )
        self._refuse_nan("loss", measured["loss"])
        # After the last step before a checkpoint, no later loss would show that the saved weights are not finite.
        self._refuse_nan("norm of the gradient", measured["gradient_norm"])
        clip_gradients(trained, self.config.trainer.clip, norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        self._log_step(measured, started)

    def _gradients(self, step: Step) -> Sums:
        """Computes the step's gradients; halves the micro-batches and retries when memory runs out.

        Returns:
            The statistics of the step, summed over micro-batches and ranks.
        """
        while (parts := self._parts(step)) is None:
            # Not in the `except` block, where the traceback would keep the tensors of the pass alive.
            self._optimizer().zero_grad()
            torch.cuda.empty_cache()
            step = self.data.with_halved_micro_batches(step).to(self.device)
            limit = self.data.micro_batch_limit
            logger.warning("out of memory: micro-batches now have at most %s rows", limit)
        return all_reduce_sums(add(parts))

    def _parts(self, step: Step) -> list[Sums] | None:
        """Returns the statistics of each micro-batch, or None where memory ran out and smaller ones may fit."""
        batches = step.weighted_batches()
        try:
            totals = all_reduce_sums(add(scaled(self.objective.totals(batch), counts) for batch, counts in batches))
            with self._no_gradient_sync():
                parts = [self._backward(batch, counts, totals) for batch, counts in batches]
        except torch.OutOfMemoryError as error:
            if not self._may_halve(step):
                raise InputError(f"the device's memory does not hold {self._remedy()}") from error
            return None
        self.largest_micro_batch = max(self.largest_micro_batch, *(len(batch.example) for batch, _ in batches))
        return parts

    def _remedy(self) -> str:
        if self.objective.needs_whole_step:
            return "a step of this training. Set a smaller trainer.batch_size, or statistics=previous_step"
        return (
            "a micro-batch of this training. Set a smaller trainer.micro_batch_size (or auto, on one device), or "
            "backbone.gradient_checkpointing=true"
        )

    def _may_halve(self, step: Step) -> bool:
        # With several ranks, the others would wait in the step's collective operations.
        is_single = self.trainer.world_size == 1 and not self.objective.needs_whole_step
        is_automatic = self.config.trainer.micro_batch_size == "auto"
        return is_single and is_automatic and any(len(batch.example) > 1 for batch in step.batches)

    def _backward(self, batch: Batch, counts: float, totals: Sums) -> Sums:
        """Runs a micro-batch's backward pass and returns its statistics; `counts` is 0 for a padding batch, else 1."""
        with nullcontext() if counts else padding_batch():
            packed = without_shared_columns(self.backbone, batch.packed)
            part: Part = self.objective(self.backbone.encode(packed, batch.state_index), batch, totals)
        self.manual_backward(part.loss * counts)
        added = {"loss": part.loss.detach().double(), "input_tokens": (batch.packed.branch >= 0).sum()}
        return scaled(part.statistics | added, counts)

    def _no_gradient_sync(self) -> AbstractContextManager[Any]:
        """Keeps DDP from reducing gradients, which `training_step` does once a step, over all micro-batches."""
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()

    def validation_step(self, rows: np.ndarray, _: int) -> None:
        """Ranks this rank's share of the validation sample."""
        with unsharded(self.backbone):
            validated = self.task.validate(self.backbone, self.data, rows, self.config)
        self.means.update(validated.values, self._validation_user[rows])
        log_recommendations(self.trainer.loggers, self.data, rows, validated.titles, self.global_step)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics by which the checkpoint is selected, with their standard errors."""
        for name, value in self.means.compute().items():
            self.log(f"valid/{name}", float(value), prog_bar=name == "ndcg@10")
        self.means.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Removes frozen weights from the checkpoint: a resumed training opens the base model again.

        The others stay in the model's order, in which all ranks gather the sharded ones.
        """
        checkpoint["largest_micro_batch"] = self.largest_micro_batch
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        checkpoint["state_dict"] = {
            name: value
            for name, value in checkpoint["state_dict"].items()
            if name in trained or name.startswith("objective.")
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the size of the largest micro-batch, which checkpoints of older versions lack."""
        self.largest_micro_batch = checkpoint.get("largest_micro_batch", 0)

    def load_state_dict(self, state_dict: Any, strict: bool = False, assign: bool = False) -> Any:
        """Loads the weights of a checkpoint; sharded weights become whole ones, so no training may follow."""
        shards = {name for name, weight in self.named_parameters() if isinstance(weight, DTensor)}
        rest = {name: value for name, value in state_dict.items() if name not in shards}
        incompatible = super().load_state_dict(rest, strict=False, assign=assign)
        # After the other weights, since FSDP checks after each load that its shards have not been replaced.
        for name in shards:
            module, _, parameter = name.rpartition(".")
            setattr(self.get_submodule(module), parameter, torch.nn.Parameter(state_dict[name]))
        return incompatible

    def _refuse_nan(self, name: str, value: float) -> None:
        if not np.isfinite(value):
            raise InputError(
                f"the {name} became {value} at step {self.global_step} (epoch {self.current_epoch}). Training stops; "
                "the last good checkpoint is kept. Try a smaller trainer.learning_rate or trainer.clip, or a "
                "temperature further from 0; if backbone.dtype is bfloat16, try float32"
            )

    def _optimizer(self) -> LightningOptimizer:
        # `optimizers` is typed as one optimizer or a list of them.
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _log_step(self, measured: dict[str, float], started: float) -> None:
        input_tokens = measured.pop("input_tokens")
        measured |= {
            "learning_rate": float(self._optimizer().param_groups[0]["lr"]),
            "tokens_per_second": input_tokens / (time.perf_counter() - started),
            "memory_gib": _memory_gib(self.device),
        }
        for name, value in measured.items():
            # Lightning copies a Python number to the GPU, and back for the loggers; a tensor stays on the CPU.
            self.log(f"train/{name}", torch.tensor(value), prog_bar=name == "loss")


def epochs_of(objective: Objective, config: DictConfig) -> int:
    """Returns the number of epochs of a run: trainer.epochs, or the objective's maximum if that is smaller."""
    epochs = int(config.trainer.epochs)
    return epochs if objective.max_epochs is None else min(epochs, objective.max_epochs)


def add(parts: Iterable[Sums]) -> Sums:
    """Adds named values of several micro-batches, name by name."""
    total: Sums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value.clone()
    return total


def to_floats(values: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Converts scalars, tensors or not, to Python numbers; all tensors are copied to the host at once."""
    tensors = [value.detach().double() for value in values.values() if isinstance(value, Tensor)]
    device = tensors[0].device
    numbers = iter(torch.stack([tensor.to(device, non_blocking=True) for tensor in tensors]).tolist())
    return {name: next(numbers) if isinstance(value, Tensor) else value for name, value in values.items()}


def scaled(sums: Sums, counts: float) -> Sums:
    """Returns the sums of a micro-batch, or zeros for a padding batch.

    Args:
        sums: Named values of the micro-batch.
        counts: 0 for a padding batch, else 1.
    """
    return sums if counts else {name: torch.zeros_like(value) for name, value in sums.items()}


def _memory_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
