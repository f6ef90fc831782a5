"""Opens a causal LM and its tokenizer from a folder or a hub name, and says plainly what does not fit."""

from pathlib import Path

import torch
from omegaconf import DictConfig
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llmrec.errors import InputError


def open_pretrained(
    path: str, config: DictConfig, eight_bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer saved at `path`.

    config: backbone.dtype, .attention, .trust_remote_code. Raises InputError when there is nothing to load, when the
    model has no causal head, or when the tokenizer knows more tokens than the model.
    """
    code = config.trust_remote_code
    try:
        kind = AutoConfig.from_pretrained(path, trust_remote_code=code)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=code)
    except (OSError, ValueError) as error:
        raise InputError(
            f"backbone.path={path}: no model and tokenizer could be opened there ({_first_line(error)}). Give the folder "
            "of a saved model or a hub name that this machine can reach"
        ) from error
    quantised = {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, config.dtype), attn_implementation=config.attention, trust_remote_code=code,
            output_loading_info=True, **quantised,
        )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"backbone.path={path}: {_first_line(error)}") from error
    if loading["missing_keys"] or kind.is_encoder_decoder:
        missing = ", ".join(sorted(loading["missing_keys"])[:3]) or "it is an encoder-decoder"
        raise InputError(
            f"backbone.path={path}: {type(model).__name__} has no trained causal head there (missing: {missing}). Give a "
            "model that was saved as a causal LM"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise InputError(
            f"backbone.path={path}: the tokenizer has {len(tokenizer):,} tokens, the model {rows:,} embeddings; they do "
            "not belong together: save both from one model (resize_token_embeddings after adding tokens)"
        )
    return model, tokenizer


def save_whole(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves a model (safetensors) and its tokenizer as `open_pretrained` reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
