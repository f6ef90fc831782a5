"""LoRA adapters: creation, saving, reopening, and errors for adapters that do not fit."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llmrec.backbones.adapters import add_adapter, load_adapter, outputs_at, perturbed_adapter
from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import save_model
from llmrec.backbones.probe import probe
from llmrec.errors import InputError
from llmrec.objectives.msl import MSL
from tests.backbones.models import VOCABULARY, cohere, gpt2, llama, mamba, opt, sequence, tied_llama
from tests.catalogue.vocabularies import characters
from tests.objectives.given import prepared_batch

PAPER = {
    "name": "lora", "rank": 8, "alpha": 16, "dropout": 0.05, "modules": ["q_proj", "v_proj"], "eight_bit": False
}  # fmt: skip


def lora(**changes: object) -> DictConfig:
    return OmegaConf.create({**PAPER, **changes})


def base(layers: int = 2, hidden: int = 32) -> PreTrainedModel:
    """Builds a Llama with the same weights at every call."""
    torch.manual_seed(0)
    return llama(layers, hidden)


def trained(model: PreTrainedModel, config: DictConfig) -> PeftModel:
    """Adds an adapter with nonzero B, since a fresh adapter changes nothing."""
    adapted = add_adapter(model, config)
    assert isinstance(adapted, PeftModel)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return adapted.eval()


def states(model: PreTrainedModel | PeftModel) -> Encoded:
    """Computes the states of three tokens of a prompt with the forward primitive."""
    packed, _ = pack([sequence(6, seed=0)], [[]])
    return Backbone(model, tokenizer=None).encode(packed, torch.tensor([1, 3, 5]))


@torch.no_grad()
def logits(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """Returns the logits of `states`."""
    return states(model).logits()


def test_none_trains_every_weight_of_the_model_itself() -> None:
    model = base()
    adapted = add_adapter(model, OmegaConf.create({"name": "none", "eight_bit": False}))
    assert adapted is model
    assert all(weight.requires_grad for weight in model.parameters())


def test_lora_trains_the_named_modules_alone_at_the_papers_rank() -> None:
    adapted = add_adapter(base(), lora())
    weights = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    # Two layers, two modules, A and B.
    assert len(weights) == 8
    assert all(".q_proj.lora_" in name or ".v_proj.lora_" in name for name in weights)
    # A: 32 to 8 twice. B: 8 to 32 for queries, 8 to 16 for the values of two heads.
    assert sum(weight.numel() for weight in weights.values()) == 2 * (2 * 32 * 8 + 8 * 32 + 8 * 16)


def test_a_fresh_adapter_changes_nothing_and_a_trained_one_does() -> None:
    unchanged = logits(base().eval())
    torch.testing.assert_close(logits(add_adapter(base(), lora()).eval()), unchanged)
    assert not torch.allclose(logits(trained(base(), lora())), unchanged, atol=0.1)


def test_the_forward_primitive_reads_through_the_adapter() -> None:
    model = trained(base(), lora())
    tokens = torch.from_numpy(sequence(6, seed=0)).long()[None]
    with torch.no_grad():
        own = model(input_ids=tokens).logits[0, [1, 3, 5]]
    torch.testing.assert_close(logits(model), own)


@pytest.mark.parametrize("architecture", [llama, tied_llama, gpt2, cohere])
def test_an_adapter_of_the_head_is_trained_by_the_tokens_that_msl_asks_for(
    architecture: Callable[[], PreTrainedModel],
) -> None:
    torch.manual_seed(0)
    model = add_adapter(architecture().eval(), lora(modules=["lm_head"], dropout=0.0))
    objective, titles = MSL(temperature=1.0), [[5, 6, 1], [5, 7, 1], [8, 1]]
    batch = prepared_batch(objective, titles, targets=[0, 2])
    backbone = Backbone(model, tokenizer=None)
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.05)
    before = states(model).logits()
    # In the first step A has no gradient, since B is zero.
    for _ in range(2):
        optimizer.zero_grad()
        loss, _ = objective.token_losses(backbone.encode(batch.packed, batch.state_index), batch)
        loss.sum().backward()
        optimizer.step()
    (up,) = (weight for name, weight in model.named_parameters() if "lora_B" in name)
    (down,) = (weight for name, weight in model.named_parameters() if "lora_A" in name)
    assert down.grad.abs().max() > 1e-3
    # The valid tokens of both titles: after nothing 5 and 8, after 5 also 6 and 7.
    assert torch.nonzero(up.grad.abs().sum(1))[:, 0].tolist() == [5, 6, 7, 8]
    after = states(model)
    some = torch.tensor([8, 5, 30, 5])
    torch.testing.assert_close(after.logits(some), after.logits()[:, some])
    with torch.no_grad():
        own = model(input_ids=torch.from_numpy(sequence(6, seed=0)).long()[None]).logits[0, [1, 3, 5]]
    torch.testing.assert_close(after.logits(), own)
    assert torch.nonzero((after.logits() != before).any(0))[:, 0].tolist() == [5, 6, 7, 8]


SOME = torch.tensor([3, 0, 30, 3])


def head_of(model: PeftModel) -> nn.Module:
    """Returns the adapted output layer."""
    return model.get_base_model().get_output_embeddings()


def assert_gathered(head: nn.Module, expected: torch.Tensor | None = None) -> None:
    """Asserts that outputs_at equals columns of the layer's own forward, and of the weights `expected`."""
    hidden = torch.randn(6, 32, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    gathered = outputs_at(head, hidden, SOME)
    torch.manual_seed(2)
    torch.testing.assert_close(gathered, head(hidden)[:, SOME])
    if expected is not None:
        torch.testing.assert_close(gathered, (hidden @ expected.T)[:, SOME])


@pytest.mark.parametrize("merged", [False, True])
def test_outputs_at_follows_an_adapter_that_is_switched_off_or_merged(merged: bool) -> None:
    model = trained(base(), lora(modules=["lm_head"], dropout=0.0))
    head = head_of(model)
    untuned = base().lm_head.weight
    up, down = head.lora_B["default"].weight, head.lora_A["default"].weight
    # Alpha 16 over rank 8.
    tuned = untuned + 2 * up @ down
    if merged:
        head.merge()
    assert_gathered(head, tuned)
    with model.disable_adapter():
        assert_gathered(head, untuned)
    assert_gathered(head, tuned)


def test_outputs_at_sums_the_active_adapters_in_training_with_their_dropout() -> None:
    model = trained(base(), lora(modules=["lm_head"], dropout=0.5))
    model.add_adapter("second", LoraConfig(r=2, lora_alpha=4, target_modules=["lm_head"], init_lora_weights=False))
    head = head_of(model)
    for active in (["default"], ["second"], ["default", "second"]):
        head.set_adapter(active)
        assert_gathered(head.train())
        assert_gathered(head.eval())


def test_outputs_at_under_autocast() -> None:
    head = head_of(trained(base(), lora(modules=["lm_head"], dropout=0.0)))
    hidden = torch.randn(6, 32)
    with torch.autocast("cpu", torch.bfloat16):
        gathered, full = outputs_at(head, hidden, SOME), head(hidden)[:, SOME]
    assert gathered.dtype == full.dtype == torch.bfloat16
    torch.testing.assert_close(gathered, full)


def test_outputs_at_of_a_variant_of_lora() -> None:
    model = get_peft_model(base(), LoraConfig(r=2, target_modules=["lm_head"], use_dora=True, init_lora_weights=False))
    assert_gathered(head_of(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outputs_at_keeps_the_layers_type(dtype: torch.dtype) -> None:
    # PEFT keeps adapters of half precision models in float32.
    head = head_of(trained(base().to(dtype), lora(modules=["lm_head"], dropout=0.0)))
    hidden = torch.randn(6, 32).to(dtype)
    assert outputs_at(head, hidden, SOME).dtype == head(hidden).dtype == dtype
    torch.testing.assert_close(outputs_at(head, hidden, SOME), head(hidden)[:, SOME])


def test_a_perturbed_adapter_changes_the_logits_and_is_restored_exactly() -> None:
    model = add_adapter(base(), lora(modules=["q_proj", "lm_head"])).eval()
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    before = logits(model)
    torch.manual_seed(0)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    with perturbed_adapter(model):
        assert (logits(model) - before).abs().max() > 0.1
    assert torch.equal(torch.rand(3), drawn), "the global generator is left alone"
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    with pytest.raises(KeyError), perturbed_adapter(model):
        raise KeyError
    assert torch.equal(logits(model), before)


def test_a_saved_adapter_of_the_head_holds_no_copy_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = trained(tied_llama(), lora(modules=["lm_head"]))
    save_model(model, characters(), tmp_path)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert {tuple(weight.shape) for weight in stored.values()} == {(8, 32), (VOCABULARY, 8)}
    torch.manual_seed(0)
    assert torch.equal(logits(load_adapter(tied_llama(), tmp_path, trainable=False).eval()), logits(model))


def test_a_saved_adapter_opens_to_the_same_logits(tmp_path: Path) -> None:
    model = trained(base(), lora())
    model.save_pretrained(tmp_path)
    reopened = load_adapter(base(), tmp_path, trainable=False).eval()
    assert torch.equal(logits(reopened), logits(model))
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("trainable", [True, False])
def test_a_reopened_adapter_is_trained_on_or_frozen(tmp_path: Path, trainable: bool) -> None:
    trained(base(), lora()).save_pretrained(tmp_path)
    reopened = load_adapter(base(), tmp_path, trainable)
    trainable_names = [name for name, weight in reopened.named_parameters() if weight.requires_grad]
    assert len(trainable_names) == (8 if trainable else 0)


def adapted_modules(model: PeftModel) -> set[str]:
    """Returns the last name component of all modules that have an adapter."""
    return {name.split(".lora_")[0].rsplit(".", 1)[-1] for name, _ in model.named_parameters() if ".lora_" in name}


@pytest.mark.parametrize("architecture", [llama, tied_llama, gpt2])
def test_all_linear_adapts_every_linear_layer_but_the_head(architecture: Callable[[], PreTrainedModel]) -> None:
    model = add_adapter(architecture(), lora(modules="all-linear"))
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in architecture().named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name != "lm_head"
    }
    assert len(linear) == (3 if architecture is gpt2 else 7)
    assert adapted_modules(model) == linear


@pytest.mark.parametrize("architecture", [llama, tied_llama, opt])
@pytest.mark.parametrize("modules", [["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_embeddings_are_adapted_on_both_paths(
    architecture: Callable[[], PreTrainedModel], modules: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = add_adapter(architecture().eval(), lora(modules=modules, dropout=0.0))
    assert adapted_modules(model) == set(modules)
    backbone = Backbone(model, characters())
    probe(backbone, longest=64, window=None)
    assert not backbone.uses_plain_path
    before = logits(model)
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    # In the first step one half of an adapter has no gradient, since the other is zero.
    for _ in range(2):
        optimizer.zero_grad()
        states(model).logits().log_softmax(-1)[:, 5].sum().neg().backward()
        optimizer.step()
    assert all(weight.grad.abs().max() > 0 for weight in model.parameters() if weight.requires_grad)
    after = logits(model)
    assert (after - before).abs().max() > 0.01
    backbone.uses_plain_path = True
    packed, _ = pack([sequence(6, seed=0)], [[]])
    with torch.no_grad():
        torch.testing.assert_close(backbone.encode(packed, torch.tensor([1, 3, 5])).logits(), after)
    save_model(model, characters(), tmp_path)
    torch.manual_seed(0)
    assert torch.equal(logits(load_adapter(architecture(), tmp_path, trainable=False).eval()), after)


@pytest.mark.parametrize("modules", ["q_proj", "all_linear", "", [], None, [1], 3])
def test_what_names_no_modules_is_refused_by_name(modules: object) -> None:
    with pytest.raises(InputError, match=rf"adapter\.modules={re.escape(str(modules))}: expected a list.*all-linear"):
        add_adapter(llama(), lora(modules=modules))


def test_modules_that_lora_cannot_adapt_are_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"adapter\.modules=\['norm'\]: LoRA cannot adapt.*LlamaForCausalLM.*RMSNorm"):
        add_adapter(llama(), lora(modules=["norm"]))
    with pytest.raises(InputError, match=r"adapter\.modules=all-linear: LoRA cannot adapt.*MambaForCausalLM.*out_proj"):
        add_adapter(mamba(), lora(modules="all-linear"))


def test_modules_that_the_model_lacks_are_refused_with_those_it_has() -> None:
    with pytest.raises(InputError, match=r"q_proj.*GPT2LMHeadModel has no such modules.*c_attn") as error:
        add_adapter(gpt2(), lora())
    assert "c_proj" in str(error.value)


def test_an_adapter_of_a_wider_model_is_refused(tmp_path: Path) -> None:
    trained(base(hidden=64), lora()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        load_adapter(base(), tmp_path, trainable=False)


def test_an_adapter_of_another_architecture_is_refused(tmp_path: Path) -> None:
    trained(gpt2(), lora(modules=["c_attn"])).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        load_adapter(base(), tmp_path, trainable=False)


@pytest.mark.parametrize(("of", "on"), [(2, 3), (3, 2)])
def test_an_adapter_of_a_deeper_or_shallower_model_is_refused(tmp_path: Path, of: int, on: int) -> None:
    trained(base(layers=of), lora()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="trained on another model"):
        load_adapter(base(layers=on), tmp_path, trainable=False)
