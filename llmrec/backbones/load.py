"""Opens a run's backbone for training or with trained weights, adds the adapter and runs the load-time checks."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file as hub_file

from llmrec.atomic import locked
from llmrec.backbones.adapters import add_adapter, cast_adapter, load_adapter, prepared_for_8_bit
from llmrec.backbones.added_tokens import add_rows, add_tokens, token_ids
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.device import (
    autocast_dtype,
    limit_shared_memory,
    run_device,
    set_float32_precision,
    weights_dtype,
)
from llmrec.backbones.gguf import dequantize, package_folder
from llmrec.backbones.positions import check_positions
from llmrec.backbones.pretrained import open_pretrained, refuse_non_finite, save_model
from llmrec.backbones.probe import probe
from llmrec.backbones.saved_files import local_folder, refuse_damaged_files
from llmrec.backbones.tiny import tiny_folder
from llmrec.cached_files import cached_file, is_cached
from llmrec.collectives import all_ranks_agree, barrier, is_rank_zero
from llmrec.components import code, digest
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.file_hash import files_hash
from llmrec.manifest import folder_manifest, retrain
from llmrec.plain import plain
from llmrec.prompts.pretraining import PretrainingTexts

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "weights"


def open_backbone(
    config: DictConfig,
    dataset: Dataset,
    texts: PretrainingTexts,
    cache_dir: Path,
    weights: Path | None,
    trainable: bool,
    check: Callable[[Backbone], None],
) -> Backbone:
    """Opens a run's backbone on the run's device, and checks that the fast path gives the results of the model's own.

    Args:
        config: The resolved run config (groups backbone, adapter, task and trainer).
        dataset: The dataset, whose items may add tokens.
        texts: The texts on which `tiny` is pretrained.
        cache_dir: llmrec's cache folder.
        weights: The folder of trained weights; None for the base model with a fresh adapter.
        trainable: Whether the backbone is trained, or only evaluated.
        check: A further check, which may set `uses_plain_path`.

    Raises:
        InputError: If the model or the weights cannot be opened or do not fit the config.
    """
    if weights is not None and not weights.is_dir():
        raise InputError(f"{weights} is missing. Train the run again: delete its folder and repeat the command")
    if weights is not None:
        folder_manifest(weights.parent).check(retrain(weights.parent), weights.name)
    device = run_device(config.trainer)
    set_float32_precision()
    limit_shared_memory(device)
    if weights is not None and config.adapter.name == "none":
        backbone = Backbone(*_open_on(device, str(weights), config))
    else:
        path = base_path(config, texts, cache_dir)
        backbone = _open_base(device, config, dataset, path, weights, trainable)
        backbone.base_weights = weights_hash(path, cache_dir)
    if trainable:
        check_positions(backbone.causal_lm, config.backbone.max_length)
    backbone.autocast_dtype = autocast_dtype(config.trainer, device)
    passed = None if weights is None or trainable else _passed_checks(backbone, config, weights, cache_dir)
    if passed is None or not is_cached(passed):
        window = getattr(backbone.causal_lm.config.get_text_config(), "sliding_window", None)
        probe(backbone, longest=config.backbone.max_length, window=window)
        check(backbone)
        if passed is not None and not backbone.uses_plain_path:
            with cached_file(passed) as temporary:
                temporary.write_text("The checks of llmrec.backbones.probe and llmrec.decoding.probe passed.\n")
    # All ranks must use the same path.
    backbone.uses_plain_path = not all_ranks_agree(not backbone.uses_plain_path)
    if backbone.autocast_dtype is not None and backbone.has_adapter and not trainable:
        cast_adapter(backbone.model, backbone.autocast_dtype)
    # Pretrained models open in evaluation mode, and Lightning keeps the mode in which it finds a model.
    return backbone.train(trainable)


def save_trained(backbone: Backbone, folder: Path) -> None:
    """Saves the trained weights (the adapter, or the whole model) as safetensors, and the tokenizer."""
    save_model(backbone.model, backbone.tokenizer, folder)


def _passed_checks(backbone: Backbone, config: DictConfig, weights: Path, cache_dir: Path) -> Path | None:
    """Returns the file that exists if a trained model has passed the checks before, with the same packages and device.

    The checks take longer than opening the model. A model that fails them is checked again, so that it is named in a
    warning each time. None for a model with code of its own, which may change unnoticed.
    """
    if config.backbone.trust_remote_code:
        return None
    device = backbone.device
    key = digest(
        code(["backbones", "decoding.catalogue_decoder"]),
        [backbone.base_weights, files_hash(weights, ("*.safetensors", "*config.json"), cache_dir)],
        [backbone.causal_lm.config.to_json_string(), plain(config.backbone), plain(config.adapter)],
        [str(backbone.causal_lm.dtype), str(backbone.autocast_dtype), device.type],
        torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
        [version(package) for package in ("torch", "transformers", "peft")],
    )
    return cache_dir / "checked" / f"{key}.txt"


def _open_on(device: torch.device, path: str, config: DictConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    eight_bit = config.adapter.eight_bit
    model, tokenizer = open_pretrained(path, config.backbone, weights_dtype(config, device), eight_bit)
    if not eight_bit:  # bitsandbytes has already placed it on a device.
        torch.nn.Module.to(model, device)
    refuse_non_finite(model, path)
    return model, tokenizer


def _open_base(
    device: torch.device, config: DictConfig, dataset: Dataset, path: str, weights: Path | None, trainable: bool
) -> Backbone:
    """Opens a base model with the tokens of the dataset's items, and adds the adapter."""
    base, tokenizer = _open_on(device, path, config)
    new_tokens = _new_tokens(base, tokenizer, config, dataset)
    backbone = Backbone(_adapted(base, config, weights, trainable, new_tokens), tokenizer)
    backbone.base_revision = getattr(base.config, "_commit_hash", None)
    return backbone


def _new_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: DictConfig, dataset: Dataset
) -> list[int]:
    """Adds the tokens of the dataset's items to a base model and its tokenizer, and returns their IDs."""
    tokens = dataset.items.tokens
    if tokens is None:
        return []
    if config.backbone.name == "tiny":
        # It was pretrained with them.
        return token_ids(tokenizer, tokens)
    ids = add_tokens(tokenizer, tokens)
    add_rows(model, ids)
    return ids


def _adapted(
    base: PreTrainedModel, config: DictConfig, weights: Path | None, trainable: bool, new_tokens: Sequence[int]
) -> "PreTrainedModel | PeftModel":
    if config.adapter.eight_bit:
        base = prepared_for_8_bit(base)
    # Runs of earlier versions have no adapter.path.
    saved = weights or config.adapter.get("path")
    if saved is None:
        return add_adapter(base, config.adapter, new_tokens)
    adapted = load_adapter(base, Path(saved).expanduser(), trainable)
    refuse_non_finite(adapted, str(saved))
    return adapted


def base_path(config: DictConfig, texts: PretrainingTexts, cache_dir: Path) -> str:
    """Returns the folder or hub name of the base model; pretrains `tiny` or converts a GGUF file if necessary.

    Args:
        config: The resolved run config (groups backbone, task and trainer).
        texts: The texts on which `tiny` is pretrained.
        cache_dir: llmrec's cache folder.

    Raises:
        InputError: If the config names no model, or its package or GGUF file does not exist.
    """
    backbone = config.backbone
    if backbone.name == "tiny":
        return str(_tiny_path(config, texts, cache_dir))
    path = package_folder(backbone.package) if backbone.package else backbone.path
    if not path:
        raise InputError("backbone=hf needs a model. Set backbone.path=<folder of a saved model, or hub name>")
    try:
        path = local_folder(str(path)) or path
    except InputError as error:
        raise InputError(f"backbone.path={path}: {error}") from error
    return str(dequantize(Path(path) / backbone.gguf_file, cache_dir) if backbone.gguf_file else path)


def check_model_files(backbone: DictConfig) -> None:
    """Checks the files of a base model in a local folder, without opening the model.

    Args:
        backbone: The config group `backbone`.

    Raises:
        InputError: There is no such folder, or a file is damaged.
    """
    if backbone.get("package") or not backbone.get("path"):
        return
    try:
        folder = local_folder(backbone.path)
        if folder is not None:
            refuse_damaged_files(folder, pickles=bool(backbone.get("gguf_file")))
    except InputError as error:
        raise InputError(f"backbone.path={backbone.path}: {error}") from error


def weights_hash(path: str, cache_dir: Path) -> str:
    """Returns a hash of a model's weight files. Unchanged files are read only once.

    Args:
        path: A folder, or the hub name of a model that was opened before.
        cache_dir: llmrec's cache folder.
    """
    folder = Path(path) if Path(path).is_dir() else Path(str(hub_file(path, "config.json"))).parent
    return files_hash(folder, ("*.safetensors", "*.bin"), cache_dir)


def _tiny_path(config: DictConfig, texts: PretrainingTexts, cache_dir: Path) -> Path:
    # transformers saves only on rank 0, so rank 0 pretrains the model and the others wait.
    if not is_rank_zero():
        barrier()
    # The lock makes several runs that start together share one pretraining.
    with locked(cache_dir / "locks" / f"{texts.dataset.name}-{config.task.name}"):
        folder = tiny_folder(config.backbone, texts, cache_dir, run_device(config.trainer))
    if is_rank_zero():
        barrier()
    return folder
