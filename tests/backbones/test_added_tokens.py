"""Tokens of items in a tokenizer and a model: what stays the same, how rows begin, how they are trained and kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones import adapters
from llmrec.backbones.adapters import add_adapter, perturbed_adapter
from llmrec.backbones.added_tokens import NOISE, add_rows, add_tokens, token_ids
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import WEIGHTS, save_trained
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import save_model
from llmrec.backbones.probe import probe
from llmrec.backbones.tiny import train_tokenizer
from llmrec.catalogue.item_tokens import ItemTokens
from llmrec.catalogue.titles import encode
from llmrec.decoding.open_backbone import build_backbone, trained_backbone
from llmrec.errors import InputError
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.training.open_run import identity
from tests.backbones.models import VOCABULARY, cohere, gemma2, gpt2, granite, llama, opt, tied_llama
from tests.backbones.test_adapters import PAPER, lora
from tests.backbones.test_load import NONE, run_config
from tests.catalogue.vocabularies import characters, spell
from tests.invariants.world import CONFIG, TITLES, small_dataset
from tests.prompts.shipped import render
from tests.prompts.shipped import text as shipped_text

TOKENS = ItemTokens([("<a_0>", "<b_0>"), ("<a_0>", "<b_1>"), ("<a_1>", "<b_0>")], ["<a_0>", "<a_1>", "<b_0>", "<b_1>"])
TEXTS = NextItemTexts(shipped_text(wording=CONFIG.dataset.wording), small_dataset())
ARCHITECTURES = [llama, tied_llama, gpt2, opt, cohere, gemma2, granite]
"""Llama and Granite have a head of their own; that of the others is tied."""


def model_and_ids(architecture: Callable[[], PreTrainedModel]) -> tuple[PreTrainedModel, list[int]]:
    """A random model whose last four tokens are new."""
    torch.manual_seed(0)
    model, ids = architecture().eval(), list(range(VOCABULARY, VOCABULARY + 4))
    add_rows(model, ids)
    return model, ids


def adapted(architecture: Callable[[], PreTrainedModel]) -> tuple[PeftModel, list[int]]:
    model, ids = model_and_ids(architecture)
    modules = ["c_attn"] if architecture is gpt2 else ["q_proj", "v_proj"]
    with_adapter = add_adapter(model, lora(modules=modules, dropout=0.0), ids)
    assert isinstance(with_adapter, PeftModel)
    return with_adapter.eval(), ids


def logits(model: PreTrainedModel | PeftModel, row: Sequence[int], tokens: torch.Tensor | None = None) -> torch.Tensor:
    """The logits of a row at each position but its last, of all tokens or a few, by the forward primitive."""
    packed, _ = pack([torch.tensor(row).numpy()], [[]])
    return Backbone(model, tokenizer=None).encode(packed, torch.arange(len(row) - 1)).logits(tokens)


@pytest.mark.parametrize("make", [characters, lambda: train_tokenizer(400, TEXTS)])
def test_texts_without_the_tokens_are_tokenized_as_before(make: Callable[[], PreTrainedTokenizerBase]) -> None:
    before, after = make(), make()
    add_tokens(after, TOKENS)
    texts = [*TITLES, render(CONFIG.dataset.wording, TITLES), "a_0 < b_1> <a_2>", "<a_0", " <b 0>\n"]
    assert encode(after, texts) == encode(before, texts)


def test_the_text_around_a_token_keeps_its_blanks() -> None:
    tokenizer = characters()
    ids = add_tokens(tokenizer, TOKENS)
    assert ids == list(range(len(tokenizer) - 4, len(tokenizer))) == token_ids(tokenizer, TOKENS)
    (row,) = encode(tokenizer, ["x <a_0><b_1> y<a_1>z"])
    assert spell(tokenizer, row) == ["x", " ", "<a_0>", "<b_1>", " ", "y", "<a_1>", "z"]


def test_tokens_that_the_tokenizer_has_already_are_refused() -> None:
    with pytest.raises(InputError, match=r"items\.file: 2 tokens are tokens of the tokenizer already, first '</s>'"):
        add_tokens(characters(), ItemTokens([("x", "</s>")], ["</s>", "x"]))


def test_tokens_that_read_as_others_are_refused() -> None:
    with pytest.raises(InputError, match=r"the text id12x of the tokens id1, 2x reads as id12, x\. Rename"):
        add_tokens(characters(), ItemTokens([("id1", "2x"), ("id12",)], ["2x", "id1", "id12"]))


def test_a_new_row_is_the_mean_of_the_others_and_a_little_of_their_spread() -> None:
    model = llama()
    with torch.no_grad():
        for weight, mean in ((model.get_input_embeddings().weight, 2.0), (model.get_output_embeddings().weight, -1.0)):
            # The first dimension does not vary; the second has a standard deviation of 3.
            weight[:, 0], weight[:, 1] = mean, mean + 3 * torch.tensor([1.0, -1.0]).repeat(VOCABULARY // 2)
    add_rows(model, range(VOCABULARY, VOCABULARY + 200))
    for layer, mean in ((model.get_input_embeddings(), 2.0), (model.get_output_embeddings(), -1.0)):
        new = layer.weight[VOCABULARY:]
        assert new.shape == (200, 32)
        torch.testing.assert_close(new[:, 0], torch.full((200,), mean))
        assert new[:, 1].mean().item() == pytest.approx(mean, abs=0.1)
        assert new[:, 1].std().item() == pytest.approx(NOISE * 3, rel=0.2)
    assert model.config.vocab_size == VOCABULARY + 200


@pytest.mark.parametrize("architecture", [llama, tied_llama])
def test_new_rows_do_not_depend_on_the_random_state_and_old_ones_stay(
    architecture: Callable[[], PreTrainedModel],
) -> None:
    torch.manual_seed(0)
    untouched = architecture().to(torch.bfloat16)
    rows = []
    for seed in (1, 2):
        torch.manual_seed(0)
        model = architecture().to(torch.bfloat16)
        torch.manual_seed(seed)
        add_rows(model, range(VOCABULARY, VOCABULARY + 4))
        rows.append(model.get_output_embeddings().weight)
    assert rows[0].dtype == torch.bfloat16
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0][:VOCABULARY], untouched.get_output_embeddings().weight)


def test_unused_rows_of_a_padded_vocabulary_are_taken_first() -> None:
    model = tied_llama()
    old = model.get_input_embeddings().weight.detach().clone()
    add_rows(model, range(VOCABULARY - 6, VOCABULARY - 2))
    new = model.get_input_embeddings().weight
    changed = (new != old).any(dim=1).nonzero()[:, 0].tolist()
    assert changed == [VOCABULARY - 6, VOCABULARY - 5, VOCABULARY - 4, VOCABULARY - 3]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("whole", [False, True], ids=["lora", "whole"])
def test_gathered_logits_are_those_of_the_full_head_after_an_update(
    architecture: Callable[[], PreTrainedModel], whole: bool
) -> None:
    model, ids = model_and_ids(architecture) if whole else adapted(architecture)
    row = [5, ids[0], ids[2], 7, ids[1], ids[3]]
    some = torch.tensor([ids[3], 4, ids[0], 4, 0, ids[1]])
    before = logits(model, row).detach()
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        logits(model, row, some).log_softmax(-1)[:, 0].sum().neg().backward()
        optimizer.step()
    full = logits(model, row)
    assert (full - before)[:, ids].abs().min() > 1e-4
    torch.testing.assert_close(logits(model, row, some), full[:, some])
    own = model(input_ids=torch.tensor([row])).logits[0, :-1]
    torch.testing.assert_close(full, own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_lora_only_the_new_rows_of_embeddings_and_head_are_trained(
    architecture: Callable[[], PreTrainedModel],
) -> None:
    model, ids = adapted(architecture)
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and "lora_" not in name]
    assert len(names) == (2 if architecture in (llama, granite) else 1)
    assert all(model.get_parameter(name).shape[0] == len(ids) for name in names)
    untouched, _ = model_and_ids(architecture)
    row = [5, ids[0], ids[2], 7]
    torch.testing.assert_close(logits(model, row), logits(untouched, row))
    optimizer = torch.optim.SGD([model.get_parameter(name) for name in names], lr=0.5)
    logits(model, row)[:, ids[1]].sum().backward()
    optimizer.step()
    # The token that is predicted moves in the head, those that are read in the embeddings, and no other.
    moved = {
        ids[place] for name in names for place in model.get_parameter(name).grad.abs().sum(1).nonzero()[:, 0].tolist()
    }
    assert moved == {ids[0], ids[1], ids[2]}
    with model.disable_adapter():
        torch.testing.assert_close(logits(model, row), logits(untouched, row))
        some = torch.tensor([ids[1], 3])
        torch.testing.assert_close(logits(model, row, some), logits(untouched, row)[:, some])


@pytest.mark.parametrize("architecture", [llama, tied_llama])
def test_the_probe_finds_a_head_that_ignores_trained_rows(
    architecture: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = adapted(architecture)
    backbone = Backbone(model, tokenizer=None)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    probe(backbone, longest=64, window=None)
    assert not backbone.uses_plain_path
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    monkeypatch.setattr(adapters, "rows_at", lambda layer, index: layer.token_adapter.base_layer.weight[index])
    probe(backbone, longest=64, window=None)
    assert backbone.uses_plain_path


def test_a_perturbed_adapter_moves_each_new_row() -> None:
    model, ids = adapted(tied_llama)
    before = model.get_input_embeddings().weight.detach().clone()
    with perturbed_adapter(model):
        during = model.get_input_embeddings().weight
        assert (during != before).any(dim=1).nonzero()[:, 0].tolist() == ids


def test_lora_of_the_head_is_refused_beside_new_rows() -> None:
    model, ids = model_and_ids(llama)
    with pytest.raises(InputError, match=r"adapter\.modules: LoRA cannot adapt lm_head with items=tokens"):
        add_adapter(model, lora(modules=["q_proj", "lm_head"]), ids)


def test_a_head_with_a_bias_is_refused() -> None:
    model, ids = model_and_ids(llama)
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(VOCABULARY + 4))
    with pytest.raises(InputError, match=r"LlamaForCausalLM has a bias.*adapter=none"):
        add_adapter(model, lora(), ids)


@pytest.fixture
def dataset() -> Any:
    """A dataset of small titles, each with two tokens."""
    found = small_dataset()
    pairs = [(f"<a_{number}>", f"<b_{number % 3}>") for number in range(len(found.items.distinct_titles))]
    tokens = ItemTokens(pairs, sorted({token for pair in pairs for token in pair}))
    return replace(found, items=replace(found.items, tokens=tokens))


@pytest.mark.parametrize("architecture", [llama, tied_llama])
@pytest.mark.parametrize("adapter", [NONE, PAPER], ids=["whole", "lora"])
def test_trained_rows_are_saved_and_opened_again(
    architecture: Callable[[], PreTrainedModel], adapter: dict[str, Any], dataset: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    base = architecture()
    base.resize_token_embeddings(len(characters()))
    save_model(base, characters(), tmp_path / "base")
    config, cache = run_config(tmp_path / "base", adapter), tmp_path / "cache"
    backbone = build_backbone(config, dataset, TEXTS, cache)
    ids = token_ids(backbone.tokenizer, dataset.items.tokens)
    assert ids[0] == len(characters())
    row = [5, ids[0], ids[4], 7, ids[2]]
    untrained = logits(backbone.eval().model, row).detach()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in backbone.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    save_trained(backbone, tmp_path / "run" / WEIGHTS)
    expected = logits(backbone.model, row)
    assert not torch.allclose(expected[:, ids], untrained[:, ids], atol=0.1)
    opened = trained_backbone(config, dataset, TEXTS, cache, tmp_path / "run")
    torch.testing.assert_close(logits(opened.model, row), expected, rtol=0, atol=0)
    continued = build_backbone(config, dataset, TEXTS, cache, start=tmp_path / "run").eval()
    torch.testing.assert_close(logits(continued.model, row), expected, rtol=0, atol=0)
    assert identity(opened, dataset).items() <= identity(backbone, dataset).items()
    if adapter is PAPER:
        with continued.without_adapter():
            torch.testing.assert_close(logits(continued.model, row), untrained)
