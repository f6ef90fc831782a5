"""Opening a run's backbone, saving its trained weights and opening them again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones import load
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import WEIGHTS, save_trained
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import save_model
from llmrec.decoding.open_backbone import build_backbone, trained_backbone
from llmrec.errors import InputError
from llmrec.prompts.next_item_pretraining import NextItemTexts
from tests.backbones.models import llama, sequence, short_window
from tests.backbones.test_adapters import PAPER
from tests.catalogue.vocabularies import characters
from tests.invariants.world import small_dataset
from tests.prompts.shipped import text

NONE = {"name": "none", "eight_bit": False}
DATASET = small_dataset()
TEXTS = NextItemTexts(text(), DATASET)
"""Only `tiny` is pretrained on them."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes to the test's folder, where `build` caches hashes of weights."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Saves a model with its tokenizer and returns the folder."""
    torch.manual_seed(0)
    model = llama()
    model.resize_token_embeddings(len(characters()))
    save_model(model, characters(), tmp_path / "base")
    return tmp_path / "base"


def run_config(path: Path | None, adapter: dict[str, Any], **backbone: Any) -> DictConfig:
    settings = {
        "name": "hf", "path": None if path is None else str(path), "max_length": 64, "dtype": "float32",
        "attention": "sdpa", "trust_remote_code": False, "package": None, "gguf_file": None,
    }  # fmt: skip
    return OmegaConf.create(
        {"backbone": settings | backbone, "adapter": adapter, "trainer": {"accelerator": "cpu", "precision": "32-true"}}
    )


def build(config: DictConfig, start: Path | None = None) -> Backbone:
    """Opens a backbone; the dataset adds no tokens."""
    return build_backbone(config, DATASET, TEXTS, Path(), start)


def moved(backbone: Backbone) -> Backbone:
    """Adds noise to the trainable weights."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in backbone.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    return backbone


@torch.no_grad()
def logits(backbone: Backbone) -> torch.Tensor:
    packed, _ = pack([sequence(6, seed=0)], [[]])
    return backbone.eval().encode(packed, torch.tensor([1, 3, 5])).logits()


@pytest.mark.parametrize("adapter", [NONE, PAPER], ids=["whole", "lora"])
def test_a_cells_weights_are_taken_up_again(tmp_path: Path, base: Path, adapter: dict[str, Any]) -> None:
    config, cell = run_config(base, adapter), tmp_path / "cell"
    backbone = moved(build(config))
    save_trained(backbone, cell / WEIGHTS)
    expected = logits(backbone)
    assert not torch.allclose(expected, logits(build(config)), atol=0.1)
    assert torch.equal(logits(trained_backbone(config, DATASET, TEXTS, Path(), cell)), expected)
    assert torch.equal(logits(build(config, start=cell)), expected)


@pytest.mark.parametrize("adapter", [NONE, PAPER], ids=["whole", "lora"])
def test_trained_weights_that_passed_the_checks_are_not_checked_again(
    tmp_path: Path, base: Path, adapter: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, checks = run_config(base, adapter), tmp_path / "run", list[int]()
    monkeypatch.setattr(load, "probe", lambda *arguments, **settings: checks.append(1))
    backbone = build(config)
    save_trained(backbone, run / WEIGHTS)
    first, second = (trained_backbone(config, DATASET, TEXTS, Path(), run) for _ in range(2))
    assert torch.equal(logits(first), logits(second))
    assert len(checks) == 2
    save_trained(moved(backbone), run / WEIGHTS)
    trained_backbone(config, DATASET, TEXTS, Path(), run)
    trained_backbone(run_config(base, adapter, attention="eager"), DATASET, TEXTS, Path(), run)
    trained_backbone(run_config(base, adapter, trust_remote_code=True), DATASET, TEXTS, Path(), run)
    build(config, start=run)
    assert len(checks) == 6


def test_trained_weights_that_fail_the_checks_are_named_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = short_window()
    model.resize_token_embeddings(len(characters()))
    save_model(model, characters(), tmp_path / "run" / WEIGHTS)
    for opened in (1, 2):
        assert trained_backbone(run_config(None, NONE), DATASET, TEXTS, Path(), tmp_path / "run").uses_plain_path
        assert len(caplog.records) == opened


def test_an_adapters_run_holds_no_copy_of_the_model(tmp_path: Path, base: Path) -> None:
    save_trained(build(run_config(base, PAPER)), tmp_path / "cell")
    assert {path.name for path in (tmp_path / "cell").glob("*.safetensors")} == {"adapter_model.safetensors"}


@pytest.mark.parametrize("adapter", [NONE, PAPER], ids=["whole", "lora"])
def test_what_is_to_be_trained_is_in_training_mode(base: Path, adapter: dict[str, Any]) -> None:
    # Saved models open in evaluation mode, in which dropout and gradient checkpointing would do nothing.
    assert all(module.training for module in build(run_config(base, adapter)).modules())


def test_the_models_own_window_decides_with_the_longest_row(tmp_path: Path) -> None:
    model = short_window()
    model.resize_token_embeddings(len(characters()))
    save_model(model, characters(), tmp_path)
    assert build(run_config(tmp_path, NONE)).uses_plain_path


@pytest.mark.parametrize("adapter", [NONE, PAPER], ids=["whole", "lora"])
def test_a_model_with_fewer_positions_than_the_rows_is_not_opened(base: Path, adapter: dict[str, Any]) -> None:
    build(run_config(base, adapter, max_length=128))
    with pytest.raises(InputError, match=r"backbone\.max_length=200: .* 128 .*backbone\.max_length=128"):
        build(run_config(base, adapter, max_length=200))


def test_a_backbone_without_a_path() -> None:
    with pytest.raises(InputError, match=r"backbone\.path="):
        build(run_config(None, NONE))


def test_a_run_without_weights(tmp_path: Path, base: Path) -> None:
    with pytest.raises(InputError, match=r"is missing\. Train the run again"):
        trained_backbone(run_config(base, NONE), None, TEXTS, Path(), tmp_path)
