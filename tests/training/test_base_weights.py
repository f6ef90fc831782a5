"""An adapter belongs to the base weights that it was trained on; a record says which they were."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llmrec.backbones.load import save_trained
from llmrec.errors import InputError
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.invariants.world import random_backbone
from tests.training.small import composed


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A saved model."""
    save_trained(random_backbone(), tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def run(base: Path, tmp_path: Path, cache: Path) -> RunFolder:
    """An adapter that was trained on it."""
    overrides = (f"paths.cache={cache}", "backbone=hf", f"backbone.path={base}", "trainer.epochs=1")
    with composed(tmp_path, *overrides, "backbone.max_length=200", "objective=sft") as config:
        run_configuration(config)
        return RunFolder(tmp_path / "runs" / run_path(config))


def test_the_record_names_the_base_weights(run: RunFolder, base: Path) -> None:
    content = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    expected = hashlib.sha256(f"model.safetensors {content}\n".encode()).hexdigest()
    assert run.training["identity"]["base_weights"] == expected
    assert run.training["precision"] == {"weights": "float32", "products": "float32", "tf32": False}


def test_an_adapter_on_other_base_weights_is_refused(run: RunFolder, base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    save_file({name: weight + 1e-3 for name, weight in weights.items()}, base / "model.safetensors", {"format": "pt"})
    config = run.config()
    config.decoding.beams = 3
    with pytest.raises(InputError, match=r"trained with other base weights .* Point backbone\.path .*to what it was"):
        evaluate_again(run, config)


def test_weights_that_are_not_finite_are_refused_by_file(base: Path, tmp_path: Path) -> None:
    weights = load_file(base / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name][3, 2] = torch.nan
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    overrides = ("backbone=hf", f"backbone.path={base}", "backbone.max_length=200")
    with composed(tmp_path, *overrides) as config, pytest.raises(InputError, match=rf"{name} in model\.safetensors"):
        run_configuration(config)
