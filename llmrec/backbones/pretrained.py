"""Opens a causal LM and its tokenizer from a folder or a hub name, and says plainly what does not fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel


def open_pretrained(
    path: str, config: DictConfig, eight_bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer saved at `path`.

    config: backbone.dtype, .attention, .trust_remote_code. Raises InputError when there is nothing to load, when the
    model has no causal head, or when the tokenizer knows more tokens than the model.
    """
    kind, tokenizer = _open_tokenizer(path, config.trust_remote_code)
    model, missing = _open_model(path, config, eight_bit)
    if missing or kind.is_encoder_decoder:
        lacking = ", ".join(sorted(missing)[:3]) or "it is an encoder-decoder"
        raise InputError(
            f"backbone.path={path}: {type(model).__name__} has no trained causal head there (missing: {lacking}). Give "
            "a model that was saved as a causal LM"
        )
    if len(tokenizer) > vocabulary_size(model):
        raise InputError(
            f"backbone.path={path}: the tokenizer has {len(tokenizer):,} tokens, the model {vocabulary_size(model):,} "
            "embeddings; they do not belong together: save both from one model (resize_token_embeddings after adding "
            "tokens)"
        )
    return model, tokenizer


def _open_tokenizer(path: str, code: bool) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    try:
        kind = AutoConfig.from_pretrained(path, trust_remote_code=code)
        return kind, AutoTokenizer.from_pretrained(path, trust_remote_code=code)
    except (OSError, ValueError) as error:
        raise InputError(
            f"backbone.path={path}: no model and tokenizer could be opened there ({first_line(error)}). Give the "
            "folder of a saved model or a hub name that this machine can reach"
        ) from error


def _open_model(path: str, config: DictConfig, eight_bit: bool) -> tuple[PreTrainedModel, set[str]]:
    """The model, and the names of its weights that were not there."""
    quantised = {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            **quantised,
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"backbone.path={path}: {first_line(error)}") from error
    model, loading = opened
    return model, loading["missing_keys"]


def vocabulary_size(model: PreTrainedModel) -> int:
    """Rows of the model's input embeddings."""
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    return embeddings.num_embeddings


def save_whole(model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves a model, or its adapter alone, as safetensors, and the tokenizer."""
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)


def first_line(error: Exception) -> str:
    """What an error says first; those of transformers go on for pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
