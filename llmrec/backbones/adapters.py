"""What is trained of a backbone: all of it, or a LoRA adapter. PEFT, which takes seconds to import, comes with one."""

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

from llmrec.errors import InputError

if TYPE_CHECKING:
    from peft import PeftModel

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer but the head."""
PERTURBATION = 1.0
"""Standard deviation of what a perturbed adapter adds to a layer's outputs, for inputs of unit variance and random
weights: about that of the outputs themselves, which is far above rounding errors."""


def is_adapted(model: nn.Module) -> "TypeGuard[PeftModel]":
    """Whether the model has an adapter."""
    # What nobody has imported, no model can be.
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def adapter_layers(model: nn.Module) -> list[Any]:
    """The layers of an adapter that is there and not switched off."""
    if "peft" not in sys.modules:
        return []
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer) and not module.disable_adapters]


@contextmanager
def perturbed_adapter(model: nn.Module) -> Iterator[None]:
    """Moves an adapter away from its start, where B is zero and it changes nothing; then restores it exactly."""
    generator = torch.Generator().manual_seed(0)
    before = []
    with torch.no_grad():
        for layer in adapter_layers(model):
            for name, up in layer.lora_B.items():
                before.append((up.weight, up.weight.clone()))
                noise = torch.randn(up.weight.shape, generator=generator) / (layer.scaling[name] * layer.r[name] ** 0.5)
                up.weight.add_((PERTURBATION * noise).to(up.weight))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, values in before:
                weight.copy_(values)


def outputs_at(layer: nn.Module, hidden: Tensor, index: Tensor) -> Tensor:
    """layer(hidden)[:, index] without the other outputs: [N, M] of a linear layer with its LoRA adapters, if any.

    Args:
        hidden: the inputs [N, in features].
        index: the outputs asked for, int64 [M].
    """
    if not _is_tuned(layer):
        return _linear_at(layer, hidden, index)
    from peft.tuners.lora import Linear

    if not isinstance(layer, Linear) or layer.lora_variant:
        # Quantized weights have no rows to take, and variants of LoRA, such as DoRA, need all outputs.
        outputs: Tensor = layer(hidden)
        return outputs[:, index]
    if layer.disable_adapters and layer.merged:
        # As PEFT's own forward does.
        layer.unmerge()
    result = base = _linear_at(layer.base_layer, hidden, index)
    if not (layer.disable_adapters or layer.merged):
        for name in layer.active_adapters:
            if name in layer.lora_A:
                down: Any = layer.lora_A[name]
                reduced = down(layer.lora_dropout[name](hidden.to(down.weight.dtype)))
                result = result + _linear_at(layer.lora_B[name], reduced, index) * layer.scaling[name]
    return result.to(base.dtype)


def _is_tuned(layer: nn.Module) -> bool:
    """Whether PEFT wraps the layer."""
    if "peft" not in sys.modules:
        return False
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(layer, BaseTunerLayer)


def _linear_at(linear: Any, hidden: Tensor, index: Tensor) -> Tensor:
    bias = getattr(linear, "bias", None)
    return functional.linear(hidden, linear.weight[index], None if bias is None else bias[index])


def adapt(model: PreTrainedModel, config: DictConfig) -> "PreTrainedModel | PeftModel":
    """The model with a fresh adapter as `config` (the adapter group) says; name "none" trains all weights.

    Raises InputError when config.modules names nothing, or nothing that the model has and LoRA can adapt.
    """
    if config.name == "none":
        return model
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        task_type="CAUSAL_LM", r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout,
        target_modules=_modules(config.modules),
    )  # fmt: skip
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise InputError(f"adapter.modules={config.modules}: {_refusal(model, str(error))}") from error


def _refusal(model: PreTrainedModel, error: str) -> str:
    """What is wrong with adapter.modules and what to do, by what PEFT says of it."""
    name = type(model).__name__
    if "not found in the base model" not in error:
        return f"LoRA cannot adapt these modules of {name} ({error.strip().splitlines()[0]}). Name others"
    kinds = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if not list(module.children())}
    return f"{name} has no such modules. It has {', '.join(sorted(kinds))}"


def _modules(named: Any) -> list[str] | str:
    """What adapter.modules names, as PEFT takes it."""
    if named == ALL_LINEAR:
        return ALL_LINEAR
    listed = isinstance(named, Sequence) and not isinstance(named, str)
    if not listed or not named or not all(isinstance(name, str) for name in named):
        raise InputError(
            f"adapter.modules={named}: expected a list of module names, such as [q_proj,v_proj], or {ALL_LINEAR}, "
            "which is every linear layer but the head. To train all weights, take adapter=none"
        )
    return list(named)


def prepared_for_8_bit(model: PreTrainedModel) -> PreTrainedModel:
    """Returns a model in 8 bits with its norms and other small weights in float32, for training and decoding alike."""
    from peft import prepare_model_for_kbit_training

    prepared: PreTrainedModel = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return prepared


def cast_adapter(model: nn.Module, dtype: torch.dtype) -> None:
    """Casts the adapter's weights once, for decoding: what autocast would do at every token, with equal results."""
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.to(dtype)


def reopen_adapter(model: PreTrainedModel, folder: Path, trainable: bool) -> "PeftModel":
    """The model with the adapter that was saved in `folder`. Raises InputError when they do not fit together."""
    from peft import PeftModel, get_peft_model_state_dict

    config = folder / "adapter_config.json"
    # PEFT would import the module that it names as megatron_core.
    if config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("megatron_config"):
        raise InputError(f"{config}: adapters of Megatron cannot be opened (megatron_config). Train the run again")
    try:
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    except (RuntimeError, ValueError) as error:
        raise _misfit(model, folder, str(error).strip().splitlines()[0]) from error
    # Where the numbers of layers differ, PEFT leaves the others as they are and only warns.
    stored = {name for name in load_file(folder / "adapter_model.safetensors") if "lora_" in name}
    differing = stored ^ get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    if differing:
        raise _misfit(model, folder, f"{min(differing)} is only in one of them")
    return adapted


def _misfit(model: PreTrainedModel, folder: Path, why: str) -> InputError:
    return InputError(
        f"the adapter in {folder} does not fit {type(model).__name__}: it was trained on another model ({why}). Point "
        "backbone.path to that model"
    )
