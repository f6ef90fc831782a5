"""Training on the pretended GPU: no objective mixes devices, and a step waits for the GPU once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.examples.training_data import Step
from llmrec.objectives.base import Objective, Sums
from llmrec.objectives.batch import Batch
from llmrec.objectives.sft import SFT
from llmrec.tasks.next_item import NextItem
from llmrec.training import module
from llmrec.training.module import Recommender
from llmrec.training.preparation import RunPreparation
from tests.invariants.world import CASES_BY_TIER, CONFIG, build_objective, preparation_of, task_of
from tests.pretended_gpu.device import CUDA, PretendedGPU, Waits, pretended_gpu

STEP_SYNCS = 1
"""Syncs of an optimizer step, whatever the objective and the number of micro-batches: all numbers are read at once."""
CHECKPOINTED_SYNCS = 1
"""Further syncs of each micro-batch where layers are recomputed: no tokens are shared, so transformers looks for packed
sequences.
"""


class PretendedAccelerator(CPUAccelerator):
    """Lets Lightning train on the pretended GPU."""

    def setup_device(self, device: torch.device) -> None:
        """Refuses no device."""


class LastStep(Callback):
    """Keeps the waits of the last step, counted from the end of the step before it, and none of its decoding."""

    def __init__(self, gpu: PretendedGPU) -> None:
        self.gpu, self.waits = gpu, Waits()

    def on_train_start(self, trainer: Trainer, pl_module: Recommender) -> None:
        """Drops the waits of sampling responses, which are those of `test_decoding`."""
        objective, sample = pl_module.objective, pl_module.objective.sample_responses

        def sample_responses(rows: np.ndarray) -> None:
            counted = self.gpu.take_waits()
            sample(rows)
            self.gpu.waits = counted

        objective.sample_responses = sample_responses

    def on_train_batch_end(self, *_: Any) -> None:
        """Takes the waits of the step that ends."""
        self.waits = self.gpu.take_waits()


def two_steps(micro_batches: int) -> DictConfig:
    """The config of a training with two optimizer steps of four rows."""
    trainer = {
        "epochs": 1, "batch_size": 4, "micro_batch_size": 4 // micro_batches,
        "learning_rate": 1e-3, "warmup_steps": 1, "weight_decay": 0.0, "clip": 1.0,
    }  # fmt: skip
    config = OmegaConf.merge(CONFIG, {"trainer": trainer})
    assert isinstance(config, DictConfig)
    return config


def train(preparation: RunPreparation, objective: Objective, micro_batches: int, gpu: PretendedGPU) -> Waits:
    """Trains as a run does, with Lightning and a logger; returns the waits of the last step."""
    data, config = preparation.data, two_steps(micro_batches)
    data.config = config
    recommender = Recommender(
        preparation.backbone, objective, data, config, NextItem(),
        preparation=lambda device: replace(preparation, trie=data.trie.to(device)),
    )  # fmt: skip
    last_step = LastStep(gpu)
    trainer = Trainer(
        strategy=SingleDeviceStrategy(CUDA, PretendedAccelerator()), max_epochs=1, limit_val_batches=0,
        callbacks=[last_step], logger=DummyLogger(), log_every_n_steps=1, use_distributed_sampler=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(recommender, data)
    assert all(group["fused"] for optimizer in trainer.optimizers for group in optimizer.param_groups)
    return last_step.waits


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("case", CASES_BY_TIER)
def test_objectives_do_not_mix_devices_and_wait_once_a_step(case: tuple[str, ...], cache: Path) -> None:
    objective, task = build_objective(case), task_of(case)
    micro_batches = 1 if objective.needs_whole_step else 2
    preparation = preparation_of(cache, objective, task=task)
    with pretended_gpu() as gpu:
        waits = train(preparation, objective, micro_batches, gpu)
    assert not gpu.mixing
    assert waits.syncs.total() == STEP_SYNCS * objective.inner_steps, waits.syncs
    assert not waits.uploads


def test_checkpointed_layers_do_not_mix_devices(cache: Path) -> None:
    objective = SFT()
    preparation = preparation_of(cache, objective)
    preparation.backbone.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    preparation.data.checkpointing = True
    with pretended_gpu() as gpu:
        waits = train(preparation, objective, micro_batches=2, gpu=gpu)
    assert not gpu.mixing
    assert waits.syncs.total() == STEP_SYNCS + 2 * CHECKPOINTED_SYNCS, waits.syncs
    assert not waits.uploads


def test_the_next_batches_are_built_before_the_host_waits(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, events = SFT(), []
    preparation = preparation_of(cache, objective)
    build, read = preparation.data.step, module.to_floats

    def step(parts: Sequence[np.ndarray]) -> Step:
        events.append("built")
        return build(parts)

    def to_floats(values: Mapping[str, float | Tensor]) -> dict[str, float]:
        events.append("waits")
        return read(values)

    monkeypatch.setattr(preparation.data, "step", step)
    monkeypatch.setattr(module, "to_floats", to_floats)
    with pretended_gpu() as gpu:
        train(preparation, objective, micro_batches=2, gpu=gpu)
    assert events == ["built", "built", "waits", "waits"]


class Careless(SFT):
    """SFT that waits for each micro-batch's loss and weights its tokens with a tensor of the CPU."""

    def token_losses(self, encoded: Encoded, batch: Batch) -> tuple[Tensor, Sums]:
        """Cross-entropies, float32 [N]."""
        losses, statistics = super().token_losses(encoded, batch)
        assert losses.sum().item() > 0
        return losses * torch.ones(len(losses)), statistics


def test_a_careless_objective_is_found(cache: Path) -> None:
    objective = Careless()
    preparation = preparation_of(cache, objective)
    with pretended_gpu() as gpu:
        waits = train(preparation, objective, micro_batches=2, gpu=gpu)
    assert waits.syncs.total() == STEP_SYNCS + 2
    assert gpu.mixing
