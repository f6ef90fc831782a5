"""A run's backbone: opened, adapted and probed; or taken up again from the weights of a cell."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file

from llmrec.atomic import locked
from llmrec.backbones.adapters import adapt, cast_adapter, prepared_for_8_bit, reopen_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.device import autocast_dtype, run_device, set_float32_precision, weights_dtype
from llmrec.backbones.gguf import dequantised, package_folder
from llmrec.backbones.model_files import files_hash
from llmrec.backbones.positions import check_positions
from llmrec.backbones.pretrained import open_pretrained, refuse_non_finite, save_whole
from llmrec.backbones.probe import probe
from llmrec.backbones.ranks import is_first, on_all_ranks, wait_for_all
from llmrec.backbones.tiny import tiny_folder
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.probe import probe_decoding
from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "weights"


def build_backbone(config: DictConfig, dataset: Dataset, cache_dir: Path, start: Path | None = None) -> Backbone:
    """Opens the backbone that training begins with, on the run's device.

    Args:
        config: The resolved run config (groups backbone, adapter and trainer).
        dataset: The data, from which `tiny` is made.
        cache_dir: The cache of llmrec.
        start: A cell whose trained weights are taken up; None for the base model with a fresh adapter.

    Raises:
        InputError: For whatever cannot be opened.
    """
    return _open(config, dataset, cache_dir, None if start is None else start / WEIGHTS, trainable=True)


def trained_backbone(config: DictConfig, dataset: Dataset, cache_dir: Path, cell: Path) -> Backbone:
    """Opens the backbone with the weights that a cell's training left, on the run's device."""
    return _open(config, dataset, cache_dir, cell / WEIGHTS, trainable=False)


def save_trained(backbone: Backbone, folder: Path) -> None:
    """Saves what was trained, as safetensors: the adapter, or the whole model; and the tokenizer."""
    save_whole(backbone.model, backbone.tokenizer, folder)


def _open(config: DictConfig, dataset: Dataset, cache_dir: Path, weights: Path | None, trainable: bool) -> Backbone:
    if weights is not None and not weights.is_dir():
        raise InputError(f"{weights} is missing: train the cell again (the same command, after deleting its folder)")
    device = run_device(config.trainer)
    set_float32_precision()
    if weights is not None and config.adapter.name == "none":
        model, tokenizer = _open_on(device, str(weights), config)
        backbone = Backbone(model, tokenizer)
    else:
        path = base_path(config, dataset, cache_dir)
        base, tokenizer = _open_on(device, path, config)
        backbone = Backbone(_adapted(base, config, weights, trainable), tokenizer)
        backbone.base_weights = weights_hash(path, cache_dir)
        backbone.base_revision = getattr(base.config, "_commit_hash", None)
    if trainable:
        check_positions(backbone.causal_lm, config.backbone.max_length)
    backbone.autocast_dtype = autocast_dtype(config.trainer, device)
    window = getattr(backbone.causal_lm.config.get_text_config(), "sliding_window", None)
    probe(backbone, longest=config.backbone.max_length, window=window)
    probe_decoding(backbone)
    # Ranks must take the same path.
    backbone.plain = not on_all_ranks(not backbone.plain)
    if backbone.autocast_dtype is not None and backbone.adapted and not trainable:
        cast_adapter(backbone.model, backbone.autocast_dtype)
    # Pretrained models open without dropout, and Lightning trains a model in the mode in which it finds it.
    return backbone.train(trainable)


def _open_on(device: torch.device, path: str, config: DictConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    eight_bit = config.adapter.eight_bit
    model, tokenizer = open_pretrained(path, config.backbone, weights_dtype(config, device), eight_bit)
    if eight_bit:
        return model, tokenizer  # where bitsandbytes has put it
    torch.nn.Module.to(model, device)
    refuse_non_finite(model, path)
    return model, tokenizer


def _adapted(
    base: PreTrainedModel, config: DictConfig, weights: Path | None, trainable: bool
) -> "PreTrainedModel | PeftModel":
    if config.adapter.eight_bit:
        base = prepared_for_8_bit(base)
    if weights is None:
        return adapt(base, config.adapter)
    return reopen_adapter(base, weights, trainable)


def base_path(config: DictConfig, dataset: Dataset, cache_dir: Path) -> str:
    """Returns the folder or hub name of the base model, made first where it is `tiny` or a GGUF file.

    Raises:
        InputError: When the config names none, or it is not there.
    """
    backbone = config.backbone
    if backbone.name == "tiny":
        return str(_tiny_path(config, dataset, cache_dir))
    path = package_folder(backbone.package) if backbone.package else backbone.path
    if not path:
        raise InputError("backbone=hf needs backbone.path=<the folder of a saved model, or a hub name>")
    return str(dequantised(Path(path) / backbone.gguf_file, cache_dir) if backbone.gguf_file else path)


def weights_hash(path: str, cache_dir: Path) -> str:
    """Returns a hash of the weight files of a model; each is read once as long as it does not change.

    Args:
        path: A folder, or the hub name of a model that has been opened.
        cache_dir: The cache of llmrec.
    """
    folder = Path(path) if Path(path).is_dir() else Path(str(cached_file(path, "config.json"))).parent
    return files_hash(folder, ("*.safetensors", "*.bin"), cache_dir)


def _tiny_path(config: DictConfig, dataset: Dataset, cache_dir: Path) -> Path:
    # transformers saves nothing on other ranks than the first, so that one makes it.
    if not is_first():
        wait_for_all()
    # Several runs that begin together need one pretraining, not one each.
    with locked(cache_dir / "locks" / f"{dataset.name}-{config.task.name}"):
        folder = tiny_folder(config.backbone, config.dataset.wording, dataset, cache_dir, run_device(config.trainer))
    if is_first():
        wait_for_all()
    return folder
