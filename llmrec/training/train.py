"""Trains a language model: from the resolved config to weights, curves and the content of training.json."""

import logging
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy, Strategy

from llmrec.atomic import atomic_folder
from llmrec.backbones.device import precision_record, run_device
from llmrec.backbones.load import WEIGHTS, save_trained
from llmrec.baselines.base import Baseline, Fitting
from llmrec.baselines.open import build_baseline, open_baseline
from llmrec.collectives import barrier, is_rank_zero
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.open_backbone import build_backbone
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.reference_features import encoder_embeddings
from llmrec.evaluation.reference_model import REFERENCE, embeds_by_reference
from llmrec.examples.training_data import TrainingData
from llmrec.manifest import folder_manifest
from llmrec.objectives.base import Objective
from llmrec.plain import plain
from llmrec.settings.objects import build
from llmrec.tasks.base import build_task
from llmrec.training.checkpoint_io import AtomicCheckpointIO
from llmrec.training.checkpoints import last_checkpoint, read_checkpoint, restart
from llmrec.training.cluster import cluster_environment, world_size
from llmrec.training.curves import CurvesLogger
from llmrec.training.early_stopping import ResumableEarlyStopping
from llmrec.training.memory import fit_into_memory
from llmrec.training.module import Recommender, epochs_of
from llmrec.training.open_run import identity
from llmrec.training.preparation import RunPreparation
from llmrec.training.progress import write_progress
from llmrec.training.progress_bar import TrainingProgress
from llmrec.training.run_folder import CHECKPOINTS, LAST
from llmrec.training.sharded import ShardedStrategy
from llmrec.training.stages import ORACLE, START, Stage
from llmrec.training.step_checkpoints import StepCheckpoints

logger = logging.getLogger(__name__)
SELECTION_METRIC = "valid/ndcg@10"


def train(
    config: DictConfig,
    dataset: Dataset,
    folder: Path,
    stages: Mapping[str, Stage],
    features: ReferenceFeatures,
    loggers: list[Logger],
) -> dict[str, Any]:
    """Trains a model and writes `weights/` and curves.csv; resumes from the last checkpoint if there is one.

    Args:
        config: The resolved run config.
        dataset: The opened dataset of the run.
        folder: Folder of the run.
        stages: Finished stages that the run depends on, by START and ORACLE.
        features: Reference features of the titles.
        loggers: Loggers of the training, a CurvesLogger among them.

    Returns:
        What is written to training.json about the training.

    Raises:
        InputError: The settings cannot be used, the device runs out of memory, or the loss or gradient is not finite.
    """
    started = time.perf_counter()
    seed_everything(config.seed, verbose=False)
    module = _module(config, dataset, stages, features)
    prepared = time.perf_counter()
    epochs = epochs_of(module.objective, config)
    fit = _train_module(module, folder, loggers) if epochs else _validate_untrained(module)
    if is_rank_zero():
        _save(module, folder)
    barrier()
    return {
        **fit,
        "trained_parameters": _trained_parameters(module),
        "plain_path": module.backbone.uses_plain_path,
        "precision": precision_record(config),
        "gradient_checkpointing": module.data.checkpointing,
        "micro_batch_rows": module.largest_micro_batch,
        "objective": module.objective.report() if epochs else {},
        "temperature": module.objective.training_temperature,
        **_reference(config, features),
        "identity": identity(module.backbone, dataset),
        "base_revision": module.backbone.base_revision,
        "seconds": {
            "preparing": prepared - started + module.prepare_seconds,
            "training": time.perf_counter() - prepared - module.prepare_seconds,
        },
    }


def _reference(config: DictConfig, features: ReferenceFeatures) -> dict[str, Any]:
    """Returns the reference model whose embeddings the objective used, if it used any."""
    return {"reference": features.models["embeddings"]} if embeds_by_reference(plain(config.objective)) else {}


def build_objective(config: DictConfig, stages: Collection[str]) -> Objective:
    """Builds and checks the objective of a run.

    Args:
        config: The resolved run config.
        stages: Names of the run's stages (START, ORACLE).

    Raises:
        InputError: The objective's settings cannot be used, by themselves or with the trainer, task or stages.
    """
    objective: Objective = build(plain(config.objective), "objective")
    _check(objective, config)
    if config.task.name not in objective.tasks:
        raise InputError(
            f"{type(objective).__name__} trains for task={' or '.join(objective.tasks)}, not for "
            f"task={config.task.name}. Choose another objective, or set one of these tasks"
        )
    if objective.needs_oracle and ORACLE not in stages:
        raise InputError(
            "the objective needs an oracle that estimates label noise, but the run has none. Use "
            "stage=sft_and_oracle, or choose an objective without an oracle (dpo, cdpo)"
        )
    return objective


def _module(
    config: DictConfig, dataset: Dataset, stages: Mapping[str, Stage], features: ReferenceFeatures
) -> Recommender:
    objective = build_objective(config, stages)
    cache_dir = Path(config.paths.cache)
    start = stages[START].folder if START in stages else None
    task = build_task(config)
    texts = task.pretraining(config, dataset)
    backbone = build_backbone(config, dataset, texts, cache_dir, start)
    data = task.data(dataset, backbone, config, cache_dir)
    data.setup_training(objective, task.validation_sample(dataset, config))
    fit_into_memory(backbone, data)
    if data.sample_prompts.truncated:
        cut, prompts = f"{data.sample_prompts.truncated:,}", f"{len(data.sample_prompts):,}"
        logger.info("%s of %s prompts: oldest titles cut to fit %s", cut, prompts, data.room)

    def embed(model: str) -> np.ndarray:
        if model != REFERENCE:
            return encoder_embeddings(model, dataset, cache_dir, str(backbone.device))
        if features.embeddings is None:
            raise InputError(
                "the objective embeds titles with the dataset's reference model, but none is set. Set dataset."
                "reference.relevance=tiny, or dataset.reference.encoder to a sentence encoder"
            )
        return features.embeddings

    def preparation(device: torch.device) -> RunPreparation:
        return RunPreparation(
            backbone=backbone,
            trie=data.trie.to(device),
            data=data,
            cache_dir=cache_dir,
            stage=start,
            seed=config.seed,
            open_base=lambda: build_backbone(config, dataset, texts, cache_dir),
            embed_titles=embed,
            open_oracle=partial(_open_oracle, stages.get(ORACLE), dataset),
            fit_oracle=partial(_fit_oracle, stages.get(ORACLE), config.seed, str(device)),
            oracle_key=stages[ORACLE].folder.name if ORACLE in stages else None,
        )

    return Recommender(backbone, objective, data, config, task, preparation)


def _open_oracle(stage: Stage | None, dataset: Dataset) -> Baseline | None:
    if stage is None:
        return None
    return open_baseline(stage.folder, OmegaConf.create(dict(stage.baseline)), dataset)


def _fit_oracle(stage: Stage | None, seed: int, device: str, dataset: Dataset) -> Baseline:
    assert stage is not None
    baseline = build_baseline(OmegaConf.create(dict(stage.baseline)))
    with tempfile.TemporaryDirectory() as folder:
        baseline.fit(dataset, Fitting(seed, device, Path(folder) / "fit.ckpt", lambda values, step: None, False))
    return baseline


def _check(objective: Objective, config: DictConfig) -> None:
    settings = config.trainer
    if settings.strategy == "fsdp" and world_size(settings) > 1 and config.adapter.name != "none":
        raise InputError(
            "trainer=fsdp shards weights, gradients and optimizer state. With adapter="
            f"{config.adapter.name} it would only transfer frozen weights, since an adapter's gradients are small: "
            "take trainer=ddp, or adapter=none for full fine-tuning"
        )
    epochs = epochs_of(objective, config)
    if config.validation.every > epochs > 0:
        raise InputError(
            f"validation.every={config.validation.every} is more than the {epochs} epochs of the training "
            "(trainer.epochs), so no checkpoint would be selected. Set validation.every=1"
        )
    micro = settings.micro_batch_size
    micro_batches = 1 if micro in (None, "auto") else -(-settings.batch_size // micro)
    if objective.needs_whole_step and micro_batches > 1:
        raise InputError(
            f"statistics=same_step of the objective needs the whole step in one micro-batch, but trainer.batch_size="
            f"{settings.batch_size} is split into {micro_batches}. Set trainer.micro_batch_size=null or "
            "statistics=previous_step"
        )


def _trainer(module: Recommender, folder: Path, loggers: list[Logger]) -> tuple[Trainer, ModelCheckpoint]:
    config, settings = module.config, module.config.trainer
    best = ModelCheckpoint(
        folder / CHECKPOINTS, filename="best-{epoch}", monitor=SELECTION_METRIC, mode="max", save_top_k=1,
        save_weights_only=True, save_on_train_epoch_end=False, auto_insert_metric_name=False,
        enable_version_counter=False,
    )  # fmt: skip
    # With save_top_k=0 and save_last=True, Lightning would save nothing before the training ends.
    last = ModelCheckpoint(
        folder / CHECKPOINTS, filename=Path(LAST).stem, save_top_k=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip
    steps = StepCheckpoints(
        folder / CHECKPOINTS / LAST, settings.checkpoint_minutes, settings.checkpoint_steps, _curves(loggers)
    )
    callbacks: list[Callback] = [best, last, _Announcement(folder), steps]
    if settings.patience is not None:
        callbacks.append(ResumableEarlyStopping(SELECTION_METRIC, settings.patience))
    if settings.progress:
        callbacks.append(TrainingProgress(refresh_rate=5))
    trainer = Trainer(
        accelerator="cpu" if run_device(settings).type == "cpu" else "gpu", devices=settings.devices,
        num_nodes=settings.get("nodes", 1),
        # The backbone sets its own autocast, in training as in every other command.
        strategy=_strategy(settings), precision="32-true", max_epochs=epochs_of(module.objective, config),
        check_val_every_n_epoch=config.validation.every,
        callbacks=callbacks, logger=loggers, plugins=[AtomicCheckpointIO(folder.name), cluster_environment()],
        num_sanity_val_steps=0, log_every_n_steps=1, use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1, enable_progress_bar=settings.progress, enable_model_summary=False,
    )  # fmt: skip
    return trainer, best


def _strategy(settings: DictConfig) -> str | Strategy:
    if world_size(settings) == 1:
        return "auto"
    # The module reduces gradients itself, and its buffers are equal on all ranks.
    return ShardedStrategy() if settings.strategy == "fsdp" else DDPStrategy(broadcast_buffers=False)


def _train_module(module: Recommender, folder: Path, loggers: list[Logger]) -> dict[str, Any]:
    """Trains the module and returns what training.json records of the fit."""
    trainer, best = _trainer(module, folder, loggers)
    chosen, epochs = _fit(module, trainer, best, folder)
    stopped = trainer.current_epoch < epochs_of(module.objective, module.config)
    if stopped:
        patience = module.config.trainer.patience
        logger.info("early stopping: no better %s in the last %s validations", SELECTION_METRIC, patience)
    return {
        "chosen_epoch": int(chosen["epoch"]),
        # As chosen_epoch, numbered from 0.
        "stopped_after_epoch": trainer.current_epoch - 1 if stopped else None,
        "chosen_by": {SELECTION_METRIC: float(best.best_model_score or 0.0)} | _validated(module.data),
        "optimizer_steps": trainer.global_step,
        "timed_epochs": epochs,
    }


def _validate_untrained(module: Recommender) -> dict[str, Any]:
    """Validates the model before any tuning (trainer.epochs=0) and returns what training.json records."""
    data = module.data
    validated = module.task.validate(module.backbone, data, np.arange(data.validation_rows), module.config)
    means = {f"valid/{name}": float(row_values.mean()) for name, row_values in validated.values.items()}
    return {
        "chosen_epoch": None,
        "stopped_after_epoch": None,
        "chosen_by": means | _validated(data),
        "optimizer_steps": 0,
        "timed_epochs": 0,
    }


def _validated(data: TrainingData) -> dict[str, int]:
    return {"rows": data.validation_rows, "users": len(np.unique(data.validation_users))}


def _fit(module: Recommender, trainer: Trainer, best: ModelCheckpoint, folder: Path) -> tuple[dict[str, Any], float]:
    """Trains from the last checkpoint, or from the start, and loads the selected weights into the module.

    Returns:
        The selected checkpoint and the number of epochs that this process trained, not whole if it resumed in one.
    """
    resume = last_checkpoint(folder / CHECKPOINTS, folder.name)
    start = int(read_checkpoint(resume)["global_step"]) if resume else 0
    # A killed training may have logged steps after its last checkpoint; they are trained and logged again. What is
    # logged is numbered by batches, of which each may have several optimizer steps.
    _curves(trainer.loggers).rewind(start // module.objective.inner_steps)
    trainer.fit(module, datamodule=module.data, ckpt_path=resume, weights_only=True)
    folder_manifest(folder / CHECKPOINTS).check(restart(folder / CHECKPOINTS), Path(best.best_model_path).name)
    chosen = read_checkpoint(best.best_model_path)
    module.load_state_dict(chosen["state_dict"])
    return chosen, (trainer.global_step - start) / module.data.steps_per_epoch


def _curves(loggers: list[Logger]) -> CurvesLogger:
    return next(log for log in loggers if isinstance(log, CurvesLogger))


class _Announcement(Callback):
    """Logs the size of the training when it starts, and writes it to a file for `llmrec.status`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Recommender)
        config, data = pl_module.config, pl_module.data
        logger.info(
            "training %s parameters of %s on %s rows for %s epochs of %s steps, device %s%s",
            f"{_trained_parameters(pl_module):,}", config.backbone.name, f"{len(data.sample_prompts):,}",
            trainer.max_epochs, data.steps_per_epoch, pl_module.device,
            f"; resuming from {trainer.ckpt_path}" if trainer.ckpt_path else "",
        )  # fmt: skip
        steps = int(trainer.max_epochs or 0) * len(data.loader)
        if is_rank_zero():
            write_progress(self.folder, steps, resumed_at=trainer.fit_loop.total_batch_idx + 1)


def _trained_parameters(module: Recommender) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def _save(module: Recommender, folder: Path) -> None:
    weights = folder / WEIGHTS
    # A training that was killed after it had saved leaves the folder; training again gives the same weights.
    shutil.rmtree(weights, ignore_errors=True)
    with atomic_folder(weights) as temporary:
        save_trained(module.backbone, temporary)
