"""Device, precision and data type of the weights."""

from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.device import autocast_dtype, check_device, check_trained_dtype, run_device, weights_dtype
from llmrec.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def config(dtype: str = "auto", adapter: str = "lora", **trainer: Any) -> DictConfig:
    settings = {"accelerator": "auto", "precision": "auto"} | trainer
    chosen = {"name": adapter, "eight_bit": adapter == "qlora"}
    return OmegaConf.create(
        {"backbone": {"dtype": dtype}, "adapter": chosen, "trainer": settings, "baseline": {"name": "none"}}
    )


@pytest.mark.parametrize(
    ("accelerator", "there", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("gpu", True, "cuda")],
)
def test_the_device(accelerator: str, there: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS is never chosen, even where it is available."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert run_device(config(accelerator=accelerator).trainer).type == expected


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", CUDA, torch.bfloat16), ("auto", CPU, None), ("32-true", CUDA, None),
        ("bf16-mixed", CPU, torch.bfloat16),
    ],
)  # fmt: skip
def test_the_products(precision: str, device: torch.device, expected: torch.dtype | None) -> None:
    assert autocast_dtype(config(precision=precision).trainer, device) == expected


@pytest.mark.parametrize(
    ("dtype", "adapter", "device", "expected"),
    [
        ("auto", "lora", CUDA, torch.bfloat16), ("auto", "lora", CPU, torch.float32),
        # Trained weights are float32 masters everywhere.
        ("auto", "none", CUDA, torch.float32), ("auto", "none", CPU, torch.float32),
        ("bfloat16", "lora", CPU, torch.bfloat16), ("float32", "none", CUDA, torch.float32),
    ],
)  # fmt: skip
def test_the_weights(dtype: str, adapter: str, device: torch.device, expected: torch.dtype) -> None:
    assert weights_dtype(config(dtype, adapter), device) == expected


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (config(accelerator="mps"), r"trainer\.accelerator=mps: choose one of auto, gpu, cuda, cpu"),
        (config(accelerator="gpu"), r"trainer\.accelerator=gpu, but torch finds no GPU"),
        (config(precision="16-mixed"), r"trainer\.precision=16-mixed: choose one of auto, bf16-mixed, 32-true"),
        (config("int4"), r"backbone\.dtype=int4: choose auto, float32, bfloat16 or float16"),
        (config(adapter="qlora"), r"adapter=qlora holds weights in 8 bits, which needs a GPU"),
    ],
)
def test_what_cannot_be_used_is_refused(made: DictConfig, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=says):
        check_device(made)


def test_weights_of_lower_precision_are_not_trained() -> None:
    """Frozen weights may have lower precision, and weights that an earlier version trained may be evaluated."""
    for made in (config("bfloat16"), config("float32", "none"), config("auto", "none")):
        check_trained_dtype(made)
    check_device(config("bfloat16", "none"))
    with pytest.raises(InputError, match=r"backbone\.dtype=bfloat16 with adapter=none would train bfloat16 weights"):
        check_trained_dtype(config("bfloat16", "none"))
