"""Device and precision of a run, which training, validation, evaluation and recommendation share."""

from typing import Any

import torch
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.processes.slots import sharing_jobs

ACCELERATORS = ("auto", "gpu", "cuda", "cpu")
PRECISIONS = ("auto", "bf16-mixed", "32-true")


def run_device(trainer: DictConfig) -> torch.device:
    """Returns the device of a run: this process's CUDA device if there is one, else the CPU.

    Args:
        trainer: The config group; `accelerator` is auto, gpu (or cuda) or cpu. Apple's MPS is never chosen, because
            llmrec has not been tested on it.

    Raises:
        InputError: If `accelerator` has another value, or is gpu on a machine without a GPU.
    """
    accelerator = trainer.accelerator
    if accelerator not in ACCELERATORS:
        raise InputError(f"trainer.accelerator={accelerator}: choose one of {', '.join(ACCELERATORS)}")
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise InputError(f"trainer.accelerator={accelerator}, but torch finds no GPU. Use trainer.accelerator=cpu")
    return torch.device("cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "cuda")


def autocast_dtype(trainer: DictConfig, device: torch.device) -> torch.dtype | None:
    """Returns the data type of matrix products, or None for that of the weights.

    Args:
        trainer: The config group; `precision` is auto (bf16-mixed on a GPU, 32-true on a CPU), bf16-mixed or 32-true.
        device: The run's device.

    Raises:
        InputError: If `precision` has another value.
    """
    precision = trainer.precision
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision}: choose one of {', '.join(PRECISIONS)}")
    mixed = device.type == "cuda" if precision == "auto" else precision == "bf16-mixed"
    return torch.bfloat16 if mixed else None


def weights_dtype(config: DictConfig, device: torch.device) -> torch.dtype:
    """Returns the data type of a backbone's weights.

    backbone.dtype=auto is bfloat16 for frozen weights on a GPU and float32 otherwise. Trained weights need float32,
    because most AdamW updates are smaller than the resolution of bfloat16.

    Args:
        config: The run config (groups backbone and adapter).
        device: The run's device.

    Raises:
        InputError: If `backbone.dtype` has another value than auto, float32, bfloat16 and float16.
    """
    name, trains_all_weights = config.backbone.dtype, config.adapter.name == "none"
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and not trains_all_weights else torch.float32
    if name not in ("float32", "bfloat16", "float16"):
        raise InputError(f"backbone.dtype={name}: choose auto, float32, bfloat16 or float16")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def check_device(config: DictConfig) -> None:
    """Checks the settings of device, precision and data type of the weights.

    Args:
        config: The resolved run config. The weights' settings are ignored for a baseline, which has no language model.

    Raises:
        InputError: If a setting is invalid or needs a GPU that this run does not use.
    """
    device = run_device(config.trainer)
    autocast_dtype(config.trainer, device)
    if config.baseline.name != "none":
        return
    weights_dtype(config, device)
    if config.adapter.eight_bit and device.type == "cpu":
        raise InputError(f"adapter={config.adapter.name} holds weights in 8 bits, which needs a GPU. Use adapter=lora")


def check_trained_dtype(config: DictConfig) -> None:
    """Checks that a run does not train weights in a precision below float32.

    Raises:
        InputError: If `backbone.dtype` is below float32 and all weights are trained.
    """
    name = config.backbone.dtype
    if config.baseline.name == "none" and config.adapter.name == "none" and name not in ("auto", "float32"):
        raise InputError(
            f"backbone.dtype={name} with adapter=none would train {name} weights, and rounding would discard most "
            "updates. Use backbone.dtype=auto (float32 weights, bfloat16 matrix products on a GPU) or adapter=lora"
        )


def set_float32_precision() -> None:
    """Disables TF32 for float32 matrix products; precision is traded for speed with bf16-mixed instead."""
    torch.set_float32_matmul_precision("highest")


def limit_shared_memory(device: torch.device) -> None:
    """Limits this process to its share of a GPU that several jobs use.

    A job that needs more then runs out of memory itself, and does not take that of the others.
    """
    if device.type == "cuda" and sharing_jobs() > 1:
        torch.cuda.set_per_process_memory_fraction(1 / sharing_jobs())


def precision_record(config: DictConfig) -> dict[str, Any]:
    """Returns the precision entries of a run's record: types of weights and of matrix products, whether TF32 is on."""
    device = run_device(config.trainer)
    weights = weights_dtype(config, device)
    return {
        "weights": "int8" if config.adapter.eight_bit else str(weights).removeprefix("torch."),
        "products": str(autocast_dtype(config.trainer, device) or weights).removeprefix("torch."),
        "tf32": torch.get_float32_matmul_precision() != "highest",
    }
