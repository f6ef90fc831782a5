"""Where a run computes, and in which precision: one answer for training, validation, evaluation and recommending."""

from typing import Any

import torch
from omegaconf import DictConfig

from llmrec.errors import InputError

ACCELERATORS = ("auto", "gpu", "cuda", "cpu")
PRECISIONS = ("auto", "bf16-mixed", "32-true")


def run_device(trainer: DictConfig) -> torch.device:
    """Returns the device of a run: this process's CUDA device where there is one, else the CPU.

    Args:
        trainer: The config group; `accelerator` is auto, gpu (or cuda) or cpu. Apple's MPS is never chosen: nothing
            here has been checked on it.

    Raises:
        InputError: For another accelerator, or for gpu on a machine without one.
    """
    accelerator = trainer.accelerator
    if accelerator not in ACCELERATORS:
        raise InputError(f"trainer.accelerator={accelerator}: choose one of {', '.join(ACCELERATORS)}")
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise InputError(f"trainer.accelerator={accelerator}, but torch finds no GPU: take trainer.accelerator=cpu")
    return torch.device("cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "cuda")


def autocast_dtype(trainer: DictConfig, device: torch.device) -> torch.dtype | None:
    """Returns the type in which matrix products are computed, None for that of the weights.

    Args:
        trainer: The config group; `precision` is auto (bf16-mixed on a GPU, 32-true on a CPU), bf16-mixed or 32-true.
        device: Where the run computes.

    Raises:
        InputError: For another precision.
    """
    precision = trainer.precision
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision}: choose one of {', '.join(PRECISIONS)}")
    mixed = device.type == "cuda" if precision == "auto" else precision == "bf16-mixed"
    return torch.bfloat16 if mixed else None


def weights_dtype(config: DictConfig, device: torch.device) -> torch.dtype:
    """Returns the type in which a backbone's weights are held.

    backbone.dtype=auto is bfloat16 for frozen weights on a GPU and float32 otherwise: weights that are trained need
    float32, since most AdamW updates are smaller than bfloat16 can resolve.

    Args:
        config: The run config (groups backbone and adapter).
        device: Where the run computes.

    Raises:
        InputError: For a type that cannot be used.
    """
    name, trained_whole = config.backbone.dtype, config.adapter.name == "none"
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and not trained_whole else torch.float32
    if name not in ("float32", "bfloat16", "float16"):
        raise InputError(f"backbone.dtype={name}: choose auto, float32, bfloat16 or float16")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_device(config: DictConfig) -> None:
    """Raises InputError for settings of device, precision or type of the weights that cannot be used.

    Args:
        config: The resolved run config; a baseline has no weights of a language model.
    """
    device = run_device(config.trainer)
    autocast_dtype(config.trainer, device)
    if config.baseline.name != "none":
        return
    weights_dtype(config, device)
    if config.adapter.eight_bit and device.type == "cpu":
        raise InputError(f"adapter={config.adapter.name} holds weights in 8 bits, which needs a GPU: take adapter=lora")


def check_trained_dtype(config: DictConfig) -> None:
    """Raises InputError for a run that would train weights in less than float32."""
    name = config.backbone.dtype
    if config.baseline.name == "none" and config.adapter.name == "none" and name not in ("auto", "float32"):
        raise InputError(
            f"backbone.dtype={name} with adapter=none would train {name} weights, most of whose updates are rounded "
            "away: take backbone.dtype=auto (float32 weights, computed in bfloat16 on a GPU), or adapter=lora"
        )


def set_float32_precision() -> None:
    """Has float32 matrix products computed in float32, not in TF32; bf16-mixed is what trades precision for speed."""
    torch.set_float32_matmul_precision("highest")


def precision_record(config: DictConfig) -> dict[str, Any]:
    """Returns what a record tells of a run's precision: types of the weights and of matrix products, whether TF32."""
    device = run_device(config.trainer)
    weights = weights_dtype(config, device)
    return {
        "weights": "int8" if config.adapter.eight_bit else str(weights).removeprefix("torch."),
        "products": str(autocast_dtype(config.trainer, device) or weights).removeprefix("torch."),
        "tf32": torch.get_float32_matmul_precision() != "highest",
    }
