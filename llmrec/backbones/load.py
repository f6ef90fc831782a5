"""A run's backbone: opened, adapted and probed; or taken up again from the weights of a cell."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llmrec.atomic import locked
from llmrec.backbones.adapters import adapt, reopen_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.pretrained import open_pretrained, save_whole
from llmrec.backbones.probe import probe
from llmrec.backbones.ranks import is_first, wait_for_all
from llmrec.backbones.tiny import tiny_folder
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "weights"


def build_backbone(config: DictConfig, dataset: Dataset, cache_dir: Path, start: Path | None = None) -> Backbone:
    """The backbone that training begins with: fresh, or with the weights of the cell `start`.

    config: the resolved run config (groups backbone and adapter). Raises InputError for what cannot be opened.
    """
    return _open(config, dataset, cache_dir, None if start is None else start / WEIGHTS, trainable=True)


def trained_backbone(config: DictConfig, dataset: Dataset, cache_dir: Path, cell: Path) -> Backbone:
    """The backbone with the weights that a cell's training left."""
    return _open(config, dataset, cache_dir, cell / WEIGHTS, trainable=False)


def save_trained(backbone: Backbone, folder: Path) -> None:
    """Saves what was trained, as safetensors: the adapter, or the whole model; and the tokenizer."""
    save_whole(backbone.model, backbone.tokenizer, folder)


def _open(config: DictConfig, dataset: Dataset, cache_dir: Path, weights: Path | None, trainable: bool) -> Backbone:
    if weights is not None and not weights.is_dir():
        raise InputError(f"{weights} is missing: train the cell again (the same command, after deleting its folder)")
    model, tokenizer = _weights(config, dataset, cache_dir, weights, trainable)
    backbone = Backbone(model, tokenizer)
    window = getattr(backbone.causal_lm.config.get_text_config(), "sliding_window", None)
    probe(backbone, longest=config.backbone.max_length, window=window)
    # Pretrained models open without dropout, and Lightning trains a model in the mode in which it finds it.
    backbone.train(trainable)
    if trainable and config.backbone.gradient_checkpointing:
        backbone.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    return backbone


def _weights(
    config: DictConfig, dataset: Dataset, cache_dir: Path, weights: Path | None, trainable: bool
) -> "tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]":
    adapter = config.adapter
    if weights is not None and adapter.name == "none":
        return open_pretrained(str(weights), config.backbone)
    model, tokenizer = open_pretrained(_base_path(config, dataset, cache_dir), config.backbone, adapter.eight_bit)
    if weights is None:
        return adapt(model, adapter), tokenizer
    return reopen_adapter(model, weights, trainable), tokenizer


def _base_path(config: DictConfig, dataset: Dataset, cache_dir: Path) -> str:
    if config.backbone.name == "tiny":
        return str(_tiny_path(config, dataset, cache_dir))
    if not config.backbone.path:
        raise InputError("backbone=hf needs backbone.path=<the folder of a saved model, or a hub name>")
    return str(config.backbone.path)


def _tiny_path(config: DictConfig, dataset: Dataset, cache_dir: Path) -> Path:
    # transformers saves nothing on other ranks than the first, so that one makes it.
    if not is_first():
        wait_for_all()
    # Several runs that begin together need one pretraining, not one each.
    with locked(cache_dir / "locks" / f"{dataset.name}-{config.task.name}"):
        folder = tiny_folder(config.backbone, config.dataset.wording, dataset, cache_dir)
    if is_first():
        wait_for_all()
    return folder
