"""LoRA adapters of a backbone, and rows of its embeddings and head that are trained with them.

PEFT takes seconds to import, so it is imported only for a model that has an adapter.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from llmrec.backbones.trained_rows import has_trained_rows, row_layers, row_weights, rows_at
from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

ALL_LINEAR = "all-linear"
"""PEFT's name for all linear layers except the head."""
PERTURBATION = 1.0
"""Standard deviation of what a perturbed adapter adds to a layer's outputs, for inputs of unit variance and random
weights. It is about that of the outputs themselves, far above rounding errors."""
WEIGHTS = "adapter_model.safetensors"
ADAPTED = ("lora_", "trainable_tokens_delta")
"""What the names of an adapter's weights contain: matrices of LoRA, and rows of new tokens."""


def is_adapted(model: nn.Module) -> "TypeGuard[PeftModel]":
    """Returns whether the model has an adapter."""
    # As long as PEFT is not imported, no model can have one.
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def adapter_layers(model: nn.Module) -> list[Any]:
    """Returns the LoRA layers of a model, except disabled ones."""
    if "peft" not in sys.modules:
        return []
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer) and not module.disable_adapters]


def is_adapter_weight(name: str) -> bool:
    """Returns whether the weight of a model with this name belongs to an adapter."""
    return any(part in name for part in ADAPTED)


@contextmanager
def perturbed_adapter(model: nn.Module) -> Iterator[None]:
    """Adds noise to the adapter's B matrices and rows of tokens while the block runs, then restores them exactly.

    A fresh adapter has B = 0 and the rows of the base model, and would not change the model's outputs.
    """
    generator = torch.Generator().manual_seed(0)
    scales = [
        (lora_b.weight, 1 / (layer.scaling[name] * layer.r[name] ** 0.5))
        for layer in adapter_layers(model)
        for name, lora_b in layer.lora_B.items()
    ]
    scales += row_weights(model)
    originals = [(weight, weight.detach().clone()) for weight, _ in scales]
    with torch.no_grad():
        for weight, scale in scales:
            weight.add_((PERTURBATION * scale * torch.randn(weight.shape, generator=generator)).to(weight))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, values in originals:
                weight.copy_(values)


def outputs_at(layer: nn.Module, hidden: Tensor, index: Tensor) -> Tensor:
    """Computes `layer(hidden)[:, index]` without computing the other outputs where possible.

    Args:
        layer: A linear layer, with or without LoRA adapters or trained rows.
        hidden: The inputs, `[N, in features]`.
        index: The outputs to compute, int64 `[M]`.

    Returns:
        `[N, M]`.
    """
    if has_trained_rows(layer):
        return functional.linear(hidden, rows_at(layer, index))
    if not _is_tuned(layer):
        return _linear_at(layer, hidden, index)
    from peft.tuners.lora import Linear

    if not isinstance(layer, Linear) or layer.lora_variant:
        # Rows of quantized weights cannot be selected, and variants of LoRA, such as DoRA, need all outputs.
        outputs: Tensor = layer(hidden)
        return outputs[:, index]
    if layer.disable_adapters and layer.merged:
        # PEFT's own forward does the same.
        layer.unmerge()
    result = base = _linear_at(layer.base_layer, hidden, index)
    if not (layer.disable_adapters or layer.merged):
        for name in layer.active_adapters:
            if name in layer.lora_A:
                lora_a: Any = layer.lora_A[name]
                reduced = lora_a(layer.lora_dropout[name](hidden.to(lora_a.weight.dtype)))
                result = result + _linear_at(layer.lora_B[name], reduced, index) * layer.scaling[name]
    return result.to(base.dtype)


def _is_tuned(layer: nn.Module) -> bool:
    """Returns whether the layer is wrapped by PEFT."""
    if "peft" not in sys.modules:
        return False
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(layer, BaseTunerLayer)


def _linear_at(linear: Any, hidden: Tensor, index: Tensor) -> Tensor:
    bias = getattr(linear, "bias", None)
    return functional.linear(hidden, linear.weight[index], None if bias is None else bias[index])


def add_adapter(
    model: PreTrainedModel, config: DictConfig, new_tokens: Sequence[int] = ()
) -> "PreTrainedModel | PeftModel":
    """Adds a fresh LoRA adapter to a model.

    Args:
        model: The base model.
        config: The config group `adapter`.
        new_tokens: Tokens whose rows in the embeddings and the head are trained too, ascending.

    Returns:
        The model with the adapter, or the model itself for the name "none", with which all weights are trained.

    Raises:
        InputError: If `adapter.modules` names nothing, no module of the model, or modules that LoRA cannot adapt.
            With `new_tokens` also if it names the embeddings or the head, or the head has a bias.
    """
    if config.name == "none":
        return model
    from peft import LoraConfig, get_peft_model

    modules = _modules(config.modules)
    rows = row_layers(model, modules, new_tokens) if new_tokens else None
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout,
        target_modules=modules, trainable_token_indices=rows,
    )  # fmt: skip
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise InputError(f"adapter.modules={config.modules}: {_module_error(model, str(error))}") from error


def _module_error(model: PreTrainedModel, error: str) -> str:
    """Explains PEFT's error about adapter.modules and what to do about it."""
    name = type(model).__name__
    if "not found in the base model" not in error:
        return f"LoRA cannot adapt these modules of {name} ({error.strip().splitlines()[0]}). Choose other modules"
    kinds = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if not list(module.children())}
    return f"{name} has no such modules. It has {', '.join(sorted(kinds))}"


def _modules(modules: Any) -> list[str] | str:
    """Validates adapter.modules and returns it in the form that PEFT expects."""
    if modules == ALL_LINEAR:
        return ALL_LINEAR
    is_list = isinstance(modules, Sequence) and not isinstance(modules, str)
    if not is_list or not modules or not all(isinstance(name, str) for name in modules):
        raise InputError(
            f"adapter.modules={modules}: expected a list of module names, such as [q_proj,v_proj], or {ALL_LINEAR} for "
            "all linear layers except the head. To train all weights, use adapter=none"
        )
    return list(modules)


def prepared_for_8_bit(model: PreTrainedModel) -> PreTrainedModel:
    """Prepares a model in 8 bits for training and decoding: norms and other small weights are cast to float32."""
    from peft import prepare_model_for_kbit_training

    prepared: PreTrainedModel = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return prepared


def cast_adapter(model: nn.Module, dtype: torch.dtype) -> None:
    """Casts the adapter's weights for decoding; autocast would cast them at every token, with equal results."""
    for name, weight in model.named_parameters():
        if is_adapter_weight(name):
            weight.data = weight.data.to(dtype)


def load_adapter(model: PreTrainedModel, folder: Path, trainable: bool) -> "PeftModel":
    """Adds a saved adapter to a model.

    Args:
        model: The base model.
        folder: The folder of the saved adapter.
        trainable: Whether the adapter's weights require gradients.

    Raises:
        InputError: If a file of the adapter is missing, or it was trained on another model.
    """
    from peft import PeftModel, get_peft_model_state_dict

    config = folder / "adapter_config.json"
    # PEFT would import the module that it names as megatron_core.
    if not config.is_file():
        raise _incomplete(config)
    if json.loads(config.read_text(encoding="utf-8")).get("megatron_config"):
        raise InputError(f"{config}: adapters of Megatron cannot be opened (megatron_config). Train the run again")
    if not (folder / WEIGHTS).is_file():
        raise _incomplete(folder / WEIGHTS)
    try:
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (RuntimeError, ValueError) as error:
        raise _wrong_model(model, folder, str(error).strip().splitlines()[0]) from error
    # If the numbers of layers differ, PEFT only warns and leaves the remaining layers as they are.
    stored = {name for name in load_file(folder / WEIGHTS) if is_adapter_weight(name)}
    differing = stored ^ get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    if differing:
        raise _wrong_model(model, folder, f"{min(differing)} is only in one of them")
    return adapted


def _incomplete(file: Path) -> InputError:
    return InputError(f"{file} is missing. Give the folder of a PEFT adapter, saved as safetensors")


def _wrong_model(model: PreTrainedModel, folder: Path, reason: str) -> InputError:
    return InputError(
        f"the adapter in {folder} does not fit {type(model).__name__}: it was trained on another model ({reason}). Set "
        "backbone.path to that model"
    )
