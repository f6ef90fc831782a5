"""LoRA: opened, saved and opened again; and what does not fit is refused."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from peft import PeftModel
from transformers import PreTrainedModel

from llmrec.backbones.adapters import adapt, reopen_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.errors import InputError
from tests.backbones.models import gpt2, llama, sequence

PAPER = {
    "name": "lora", "rank": 8, "alpha": 16, "dropout": 0.05, "modules": ["q_proj", "v_proj"], "eight_bit": False
}  # fmt: skip


def lora(**changes: object) -> DictConfig:
    return OmegaConf.create({**PAPER, **changes})


def base(layers: int = 2, hidden: int = 32) -> PreTrainedModel:
    """The same weights at every call."""
    torch.manual_seed(0)
    return llama(layers, hidden)


def trained(model: PreTrainedModel, config: DictConfig) -> PeftModel:
    """An adapter that has moved from its start, where it changes nothing."""
    adapted = adapt(model, config)
    assert isinstance(adapted, PeftModel)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return adapted.eval()


@torch.no_grad()
def logits(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """At three tokens of one prompt, by the forward primitive."""
    packed, _ = pack([sequence(6, seed=0)], [[]])
    return Backbone(model, tokenizer=None).encode(packed, torch.tensor([1, 3, 5])).logits()


def test_none_trains_every_weight_of_the_model_itself() -> None:
    model = base()
    adapted = adapt(model, OmegaConf.create({"name": "none", "eight_bit": False}))
    assert adapted is model
    assert all(weight.requires_grad for weight in model.parameters())


def test_lora_trains_the_named_modules_alone_at_the_papers_rank() -> None:
    adapted = adapt(base(), lora())
    weights = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    # Two layers, two modules, A and B.
    assert len(weights) == 8
    assert all(".q_proj.lora_" in name or ".v_proj.lora_" in name for name in weights)
    # A: 32 to 8 twice. B: 8 to 32 for queries, 8 to 16 for the values of two heads.
    assert sum(weight.numel() for weight in weights.values()) == 2 * (2 * 32 * 8 + 8 * 32 + 8 * 16)


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does() -> None:
    unchanged = logits(base().eval())
    torch.testing.assert_close(logits(adapt(base(), lora()).eval()), unchanged)
    assert not torch.allclose(logits(trained(base(), lora())), unchanged, atol=0.1)


def test_the_forward_primitive_reads_through_the_adapter() -> None:
    model = trained(base(), lora())
    tokens = torch.from_numpy(sequence(6, seed=0)).long()[None]
    with torch.no_grad():
        own = model(input_ids=tokens).logits[0, [1, 3, 5]]
    torch.testing.assert_close(logits(model), own)


def test_a_saved_adapter_opens_to_the_same_logits(tmp_path: Path) -> None:
    model = trained(base(), lora())
    model.save_pretrained(tmp_path)
    reopened = reopen_adapter(base(), tmp_path, trainable=False).eval()
    assert torch.equal(logits(reopened), logits(model))
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("trainable", [True, False])
def test_a_reopened_adapter_is_trained_on_or_frozen(tmp_path: Path, trainable: bool) -> None:
    trained(base(), lora()).save_pretrained(tmp_path)
    reopened = reopen_adapter(base(), tmp_path, trainable)
    trainable_names = [name for name, weight in reopened.named_parameters() if weight.requires_grad]
    assert len(trainable_names) == (8 if trainable else 0)


def test_modules_that_the_model_lacks_are_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match=r"q_proj.*GPT2LMHeadModel has no such modules.*c_attn") as error:
        adapt(gpt2(), lora())
    assert "c_proj" in str(error.value)


def test_an_adapter_of_a_wider_model_is_refused(tmp_path: Path) -> None:
    trained(base(hidden=64), lora()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        reopen_adapter(base(), tmp_path, trainable=False)


def test_an_adapter_of_another_architecture_is_refused(tmp_path: Path) -> None:
    trained(gpt2(), lora(modules=["c_attn"])).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        reopen_adapter(base(), tmp_path, trainable=False)


@pytest.mark.parametrize(("of", "on"), [(2, 3), (3, 2)])
def test_an_adapter_of_a_deeper_or_shallower_model_is_refused(tmp_path: Path, of: int, on: int) -> None:
    trained(base(layers=of), lora()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        reopen_adapter(base(layers=on), tmp_path, trainable=False)
