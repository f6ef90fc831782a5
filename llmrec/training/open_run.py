"""Opens what a finished run trained, after checking that it belongs to the data, tokenizer and base weights at hand."""

from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.baselines.open import open_baseline
from llmrec.catalogue.cached import catalogue_hash
from llmrec.catalogue.titles import tokenizer_hash
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.open_backbone import trained_backbone
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.tasks.base import Task, build_task
from llmrec.tasks.catalogue_ranker import ModelRanker
from llmrec.training.assistant import open_assistant
from llmrec.training.exported import exported_backbone, exported_dataset, is_exported
from llmrec.training.open_dataset import read_dataset
from llmrec.training.run_folder import RunFolder, is_baseline

CHANGED = {
    "catalogue": "another catalogue", "items": "other item tokens", "tokenizer": "another tokenizer",
    "base_weights": "other base weights",
}  # fmt: skip
"""Parts of the identity of trained weights, as error messages name one that has changed."""


def run_dataset(config: DictConfig, run: RunFolder) -> Dataset:
    """Opens the dataset of a run; of an exported run, its catalogue without rows.

    Raises:
        InputError: The data cannot be used.
    """
    return exported_dataset(run) if is_exported(run) else read_dataset(config)


def open_ranker(config: DictConfig, dataset: Dataset, run: RunFolder, task: Task) -> Any:
    """Opens the ranker of a trained run.

    Args:
        config: The run's config, with the decoding settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        task: The run's task.

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    if is_baseline(config):
        return task.baseline_ranker(config.baseline.name, open_fitted(config, dataset, run), dataset, config)
    config = resolve_temperature(config, run)
    ranker = task.model_ranker(open_trained(config, dataset, run), dataset, config, Path(config.paths.cache))
    if isinstance(ranker, ModelRanker):
        ranker.prepare(partial(open_assistant, config, dataset, run))
    return ranker


def resolve_temperature(config: DictConfig, run: RunFolder) -> DictConfig:
    """Returns the config with the temperature of the run's training in place of decoding.temperature=training.

    Raises:
        InputError: The run was trained by an earlier version, which did not record it.
    """
    if config.decoding.get("temperature") != "training":
        return config
    recorded = run.training.get("temperature")
    if recorded is None:
        raise InputError(
            f"{run.folder} does not have the temperature that it was trained with, as runs of earlier versions. Give "
            "it as a number, as in decoding.temperature=2; of MSL, curves.csv has it as train/temperature"
        )
    decoding = {**config.decoding, "temperature": recorded}
    return DictConfig(plain(config) | {"decoding": decoding})


def open_fitted(config: DictConfig, dataset: Dataset, run: RunFolder) -> Baseline:
    """Opens the baseline of a fitted run.

    Raises:
        InputError: The catalogue is not the one that the baseline was fitted to.
    """
    check_identity(run, "catalogue", catalogue_hash(dataset.items))
    return open_baseline(run.folder, config.baseline, dataset)


def open_trained(config: DictConfig, dataset: Dataset, run: RunFolder) -> Backbone:
    """Opens the trained backbone of a run.

    Raises:
        InputError: The run is a baseline, or catalogue, tokenizer or base weights are not those of its training.
    """
    if is_baseline(config):
        raise InputError(f"{run.folder} holds a baseline ({config.baseline.name}), not a language model: give another")
    if dataset.items.tokens is not None:
        # With other tokens, `tiny` would be pretrained again, and an adapter would not fit.
        check_identity(run, "items", dataset.items.tokens.content_hash)
    texts = build_task(config).pretraining(config, dataset)
    open_weights = exported_backbone if is_exported(run) else trained_backbone
    backbone = open_weights(config, dataset, texts, Path(config.paths.cache), run.folder)
    for name, now in identity(backbone, dataset).items():
        check_identity(run, name, now)
    return backbone


def identity(backbone: Backbone, dataset: Dataset) -> dict[str, str]:
    """Returns hashes of what trained weights are only valid with.

    Args:
        backbone: The model.
        dataset: The dataset whose catalogue it ranks.

    Returns:
        Hashes by name: `catalogue`; `items` if tokens represent them; `tokenizer`; and, for an adapter,
        `base_weights`.
    """
    tokens = dataset.items.tokens
    hashes = {"catalogue": catalogue_hash(dataset.items)} | ({} if tokens is None else {"items": tokens.content_hash})
    hashes |= {"tokenizer": tokenizer_hash(backbone.tokenizer)}
    return hashes if backbone.base_weights is None else hashes | {"base_weights": backbone.base_weights}


def check_identity(run: RunFolder, name: str, now: str) -> None:
    """Checks one part of the identity of a run's weights.

    Args:
        run: The run's folder.
        name: catalogue, items, tokenizer or base_weights.
        now: The part's current hash.

    Raises:
        InputError: The run was trained with another hash.
    """
    remedies = {"catalogue": "LLMREC_DATA (or paths.data)", "items": "items.file"}
    remedy = remedies.get(name, "backbone.path (or LLMREC_CACHE)")
    # Runs of earlier versions did not store the hash of the base weights.
    trained_with = run.training["identity"].get(name, now)
    if now != trained_with:
        raise InputError(
            f"{run.folder} was trained with {CHANGED[name]} ({trained_with[:12]}, now {now[:12]}), so its "
            f"weights cannot be used. Point {remedy} to what it was trained with, or train again"
        )
