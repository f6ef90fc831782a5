"""Training on the pretended GPU: no objective mixes devices, and none waits for the GPU more often than listed here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.objectives.base import Objective, Sums
from llmrec.objectives.batch import Batch
from llmrec.objectives.sft import SFT
from llmrec.tasks.next_item import NextItem
from llmrec.training.module import Recommender
from llmrec.training.preparation import RunPreparation
from tests.invariants.world import CASES_BY_TIER, CONFIG, build_objective, preparation_of, task_of
from tests.pretended_gpu.device import CUDA, PretendedGPU, Waits, pretended_gpu

SYNCS = {
    "alro objective.alpha=0": (2, 6),
    "alro objective.beta=0": (1, 6),
    "alro objective.normalise=false objective.gamma=5": (2, 6),
    "alro": (2, 6),
    "apao objective/token_loss=msl objective.beta=0.5 objective.eta=0.5": (10, 7),
    "apao": (1, 4),
    "bear objective.temperature=2 objective.k=2 objective.topk_weight=3": (4, 5),
    "bear task=rerank": (4, 5),
    "bear": (4, 5),
    "cdpo": (0, 5),
    "cft objective/token_loss=msl objective.token_loss.temperature=2 objective.alpha=1": (11, 4),
    "cft task=candidates": (3, 3),
    "cft": (3, 3),
    "dmpo objective/rejected=popularity objective.negatives=2 objective.scores=trie": (4, 5),
    "dmpo": (0, 5),
    "dpo objective/rejected=self_hard objective.scores=trie": (4, 5),
    "dpo": (0, 5),
    "gdrt objective.statistics=same_step objective.prior=uniform objective.group_count=3": (4, 5),
    "gdrt objective.weights=inverse_relevance objective.reference=current": (2, 5),
    "gdrt objective/token_loss=msl objective.groups=position objective.group_count=2 objective.ema=0.9": (13, 8),
    "gdrt objective/token_loss=msl objective.temperature=2 objective.group_count=4": (13, 8),
    "gdrt objective/token_loss=msl objective.token_loss.statistics=same_step objective.groups=random": (15, 6),
    "gdrt": (4, 5),
    "grpo objective.inner_steps=2 objective.ranking=0 objective.kl=0": (0, 104),
    "grpo objective.scores=trie objective.rollout=sample objective.add_target=true": (7, 100),
    "grpo": (0, 100),
    "igd objective/token_loss=msl objective.beta=0.5": (9, 6),
    "igd": (0, 3),
    "msl objective.statistics=same_step": (11, 4),
    "msl objective.temperature=4.5 objective.reduction=response": (4, 4),
    "msl task=rerank objective.temperature=4.5": (4, 4),
    "msl task=rerank": (9, 5),
    "msl": (9, 6),
    "rosepo objective/rejected=mixture objective.scores=trie objective.beta=0.5": (4, 5),
    "rosepo objective/rejected=semantic objective.oracle.cap=0.2": (0, 5),
    "rosepo": (0, 5),
    "sdpo objective/rejected=popularity objective.negatives=2 objective.beta=1": (0, 5),
    "sdpo task=candidates objective/rejected=candidates objective.negatives=2": (0, 5),
    "sdpo": (0, 5),
    "sft task=rerank": (0, 3),
    "sft": (0, 3),
    "simpo objective.scores=trie objective.gamma=2": (4, 5),
    "simpo": (0, 5),
    "sprec": (0, 5),
    "sprec_sft": (0, 3),
}
"""Syncs at most, of each micro-batch and of the optimizer step besides. Lower them where code has become better.

Of each step three are the training's own: loss, number of tokens and norm of the gradient.
"""
CHECKPOINTED_SYNCS = (1, 3)
"""The same of SFT where layers are recomputed: no tokens are shared, so transformers looks for packed sequences."""
UPLOADS = {"next_item": 7, "candidates": 7, "rerank": 11}
"""Blocking copies to the GPU at most, of each micro-batch: the fields of its batch."""
ROLLOUT_UPLOADS = 8
"""The same of a step whose responses are sampled; its micro-batches are uploaded twice, to be scored and trained."""


class PretendedAccelerator(CPUAccelerator):
    """Lets Lightning train on the pretended GPU."""

    def setup_device(self, device: torch.device) -> None:
        """Refuses no device."""


class LastStep(Callback):
    """Keeps the waits of the last step, counted from the end of the step before it."""

    def __init__(self, gpu: PretendedGPU) -> None:
        self.gpu, self.waits = gpu, Waits()

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
    module = Recommender(
        preparation.backbone, objective, data, config, NextItem(),
        preparation=lambda device: replace(preparation, trie=data.trie.to(device)),
    )  # fmt: skip
    last_step = LastStep(gpu)
    trainer = Trainer(
        strategy=SingleDeviceStrategy(CUDA, PretendedAccelerator()), max_epochs=1, limit_val_batches=0,
        callbacks=[last_step], logger=DummyLogger(), log_every_n_steps=1, use_distributed_sampler=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data)
    return last_step.waits


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("case", CASES_BY_TIER)
def test_objectives_do_not_mix_devices_and_seldom_wait(case: tuple[str, ...], cache: Path) -> None:
    objective, task = build_objective(case), task_of(case)
    micro_batches = 1 if objective.needs_whole_step else 2
    preparation = preparation_of(cache, objective, task=task)
    with pretended_gpu() as gpu:
        waits = train(preparation, objective, micro_batches, gpu)
    assert not gpu.mixing
    name = " ".join(case)
    assert name in SYNCS, f"add the syncs of this case to SYNCS: {waits.syncs}"
    of_micro_batch, of_step = SYNCS[name]
    assert waits.syncs.total() <= micro_batches * of_micro_batch + of_step, waits.syncs
    uploads = micro_batches * UPLOADS[task]
    assert waits.uploads.total() <= (2 * uploads + ROLLOUT_UPLOADS if objective.samples_responses else uploads)


def test_checkpointed_layers_do_not_mix_devices(cache: Path) -> None:
    objective = SFT()
    preparation = preparation_of(cache, objective)
    preparation.backbone.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    preparation.data.checkpointing = True
    with pretended_gpu() as gpu:
        waits = train(preparation, objective, micro_batches=2, gpu=gpu)
    assert not gpu.mixing
    of_micro_batch, of_step = CHECKPOINTED_SYNCS
    assert waits.syncs.total() <= 2 * of_micro_batch + of_step, waits.syncs


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
    assert waits.syncs.total() == sum(SYNCS["sft"]) + 2
    assert gpu.mixing
