"""The backbone that is pretrained on the dataset alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmrec.backbones import tiny
from llmrec.backbones.tiny import tiny_folder, train_tokenizer
from llmrec.catalogue.titles import quote, tokenize_titles
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText
from tests.invariants.world import CONFIG, TITLES, small_dataset
from tests.prompts.shipped import PROMPT_END, group, render
from tests.prompts.shipped import text as shipped_text

WORDING = CONFIG.dataset.wording
TEXTS = NextItemTexts(shipped_text(wording=WORDING), small_dataset())


def settings(**changes: Any) -> DictConfig:
    shape = {"vocabulary": 400, "hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2, "max_length": 200}
    pretraining = {"seed": 0, "rows": 8, "epochs": 2, "batch_size": 4, "learning_rate": 3e-3}
    return OmegaConf.create({"name": "tiny", **shape, "pretraining": pretraining, "dtype": "float32", **changes})


def folder(cache: Path, **changes: Any) -> Path:
    return tiny_folder(settings(**changes), TEXTS, cache, torch.device("cpu"))


def test_any_text_can_be_tokenised_and_read_back() -> None:
    tokenizer = train_tokenizer(400, TEXTS)
    for original in ('Pokémon: 12" Steel &amp; 日本語\n \n', render(WORDING, TITLES)):
        assert tokenizer.decode(tokenizer(original)["input_ids"]) == original


def test_the_prompts_words_are_a_token_each() -> None:
    tokenizer = train_tokenizer(600, TEXTS)
    words = "recommend a new game that the user likes"
    assert len(tokenizer(" " + words)["input_ids"]) == len(words.split())


def test_no_token_of_the_prompt_moves_to_the_titles() -> None:
    titles = tokenize_titles(train_tokenizer(400, TEXTS), TITLES, PROMPT_END, 1)
    assert titles.prompt_overlap == 0


def test_it_is_pretrained_once_and_opens_with_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = folder(tmp_path)
    monkeypatch.setattr(tiny, "_pretrain", lambda *_: pytest.fail("pretrained again"))
    assert folder(tmp_path) == first
    tokenizer, model = AutoTokenizer.from_pretrained(first), AutoModelForCausalLM.from_pretrained(first)
    assert tokenizer.eos_token == "<eos>"
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert tokenizer.decode(tokenizer(quote("Doom"))["input_ids"]) == quote("Doom")


def test_the_same_settings_make_the_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = folder(tmp_path / "one")
    torch.manual_seed(2)
    other = folder(tmp_path / "other")
    assert one.name == other.name
    weights = [AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_prompt_needs_another_base(tmp_path: Path) -> None:
    alpaca, changed = group("alpaca"), group("alpaca")
    # Without any titles, both are the same text.
    changed["next_item"] = changed["next_item"].replace('", " if', '"; " if')
    texts = [NextItemText(own, WORDING) for own in (alpaca, changed)]
    assert texts[0].render([]) == texts[1].render([])
    bases = [
        tiny_folder(settings(), NextItemTexts(text, small_dataset()), tmp_path, torch.device("cpu")) for text in texts
    ]
    assert bases[0] == folder(tmp_path)
    assert bases[0] != bases[1]


def test_settings_of_the_fine_tuning_alone_need_no_other_base(tmp_path: Path) -> None:
    assert folder(tmp_path) == folder(tmp_path, dtype="bfloat16")
    assert folder(tmp_path) != folder(tmp_path, hidden_size=32)
