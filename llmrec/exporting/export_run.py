"""Writes the folder of an exported run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from llmrec.atomic import atomic_folder
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.pretrained import save_model
from llmrec.backbones.saved_files import local_folder
from llmrec.catalogue.item_file import item_file
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.decoder import assistant_settings
from llmrec.errors import InputError
from llmrec.evaluation.record import FACTS_FILE, METRICS_FILE, read_metrics
from llmrec.exporting.base_model import base_model
from llmrec.exporting.model_card import CARD, model_card
from llmrec.manifest import folder_manifest
from llmrec.plain import plain
from llmrec.training.exported import ITEM_TOKENS, is_exported, write_catalogue
from llmrec.training.open_dataset import read_dataset
from llmrec.training.open_run import open_trained
from llmrec.training.quiet import silence_libraries
from llmrec.training.run_folder import CONFIG, TRAINING, RunFolder, is_baseline

DEFAULT_PATHS = {"data": "data", "cache": ".cache/llmrec", "runs": "runs"}
"""Paths in an exported config: those of this machine are nobody's business. Each command sets its own."""


def export_run(run: RunFolder, config: DictConfig, out: Path, merge: bool) -> None:
    """Writes a run's model, tokenizer, catalogue, settings, metrics and model card, atomically.

    Args:
        run: The run's folder.
        config: The run's config.
        out: The folder to write.
        merge: Whether an adapter is merged into its base model.

    Raises:
        InputError: The run cannot be exported in this way, or `out` exists.
    """
    _check(run, config, out, merge)
    silence_libraries()
    dataset = read_dataset(config)
    backbone = open_trained(config, dataset, run)
    if merge and backbone.has_adapter:
        adapted: Any = backbone.model
        backbone = Backbone(adapted.merge_and_unload(), backbone.tokenizer)
    if backbone.has_adapter:
        _name_base(backbone, base_model(config))
    with atomic_folder(out) as folder, _recorded(folder):
        save_model(backbone.model, backbone.tokenizer, folder)
        _write_run(run, config, dataset, folder, backbone.has_adapter)
        ranking = run.ranking(config)
        record = read_metrics(ranking) if (ranking / METRICS_FILE).is_file() else None
        card = model_card(run, config, dataset, record, backbone.has_adapter)
        card.save(folder / CARD)


def _check(run: RunFolder, config: DictConfig, out: Path, merge: bool) -> None:
    if is_exported(run):
        raise InputError(f"{run.folder} is an exported run already. Copy the folder")
    if is_baseline(config):
        raise InputError(
            f"{run.folder} holds a baseline ({config.baseline.name}), which transformers cannot open. Export a "
            "language model; use a baseline with llmrec.recommend or llmrec.serve"
        )
    if not run.trained:
        raise InputError(f"{run.folder} is not trained yet. Finish it with the command that started it")
    if assistant_settings(plain(config.decoding)) is not None:
        raise InputError(
            f"{run.folder} is decoded with a baseline (decoding.assistant), which an export does not hold. Add "
            "decoding=trie"
        )
    if out.exists():
        raise InputError(f"out={out} exists already. Give a folder that does not exist, or remove it")
    if config.adapter.name == "none":
        return
    if merge and config.adapter.eight_bit:
        raise InputError(
            f"{run.folder} has a base model in 8 bits, into which no adapter is merged. Leave merge=true out"
        )
    # transformers cannot open a package's file, and a GGUF file only if it is told so.
    if not merge and (not config.backbone.get("path") or config.backbone.get("gguf_file")):
        raise InputError(
            f"the base model of {run.folder} (backbone={config.backbone.name}) has no name by which transformers finds "
            "it. Give merge=true"
        )


def _name_base(backbone: Backbone, base: str) -> None:
    """Names the base model in the adapter's settings, which hold the path that it had in the training."""
    adapted: Any = backbone.model
    for adapter in adapted.peft_config.values():
        adapter.base_model_name_or_path = base


def _write_run(run: RunFolder, config: DictConfig, dataset: Dataset, folder: Path, has_adapter: bool) -> None:
    """Writes what llmrec needs beside the model: settings, catalogue and metrics."""
    settings = plain(config) | {"paths": DEFAULT_PATHS}
    # Here it is the CPU.
    settings["trainer"]["accelerator"] = "auto"
    if has_adapter:
        settings["backbone"]["path"] = base_model(config)
        # What the training started from is not needed.
        settings["adapter"]["path"] = None
    else:
        settings["adapter"] = {"name": "none", "eight_bit": False, "learning_rate": config.adapter.learning_rate}
        if settings["backbone"].get("path") and local_folder(settings["backbone"]["path"]) is not None:
            settings["backbone"]["path"] = None
    tokens = item_file(settings["items"])
    if tokens is not None:
        shutil.copyfile(tokens, folder / ITEM_TOKENS)
        settings["items"]["file"] = ITEM_TOKENS
    OmegaConf.save(OmegaConf.create(settings), folder / CONFIG)
    shutil.copyfile(run.folder / TRAINING, folder / TRAINING)
    write_catalogue(dataset.items, folder)
    ranking = run.ranking(config)
    # Not the rankings, which name users.
    for name in (METRICS_FILE, FACTS_FILE):
        if (ranking / name).is_file():
            copied = folder / ranking.relative_to(run.folder)
            copied.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ranking / name, copied / name)


@contextmanager
def _recorded(folder: Path) -> Iterator[None]:
    """Records the checksums of what the block writes, except for the card, which may be edited."""
    yield
    names = [path.name for path in folder.iterdir() if path.name != CARD]
    with folder_manifest(folder).recorded(*names):
        pass
