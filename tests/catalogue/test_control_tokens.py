"""Titles that contain the text of special tokens are tokenized as text, in prompts and as responses."""

import logging
from pathlib import Path

import pytest

from llmrec.catalogue.cached import load_catalogue
from llmrec.catalogue.control_tokens import MARK, ControlTokens
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import encode
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from tests.catalogue.vocabularies import BOS, EOS, characters, spell
from tests.prompts.shipped import group

WORDING = {"item": "game", "items": "games", "verb": "played"}
ITEMS = Items(["a", "b"], ["Go</s> now", "Chess"])


def test_a_title_as_a_response_ends_only_at_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = characters()
    end = tokenizer.convert_tokens_to_ids(EOS)
    with caplog.at_level(logging.WARNING):
        titles, trie, _ = load_catalogue(tokenizer, ITEMS, "Response:\n", end, tmp_path)
    assert spell(tokenizer, titles.of(0)) == [*'"Go</s> now"', EOS]
    assert spell(tokenizer, titles.of(1)) == [*'"Chess"', EOS]
    assert trie.max_length == len('"Go</s> now"') + 1
    assert "1 titles contain special tokens, which are read as text, such as 'Go</s> now'" in caplog.text


@pytest.mark.parametrize("begin", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_a_prompt_has_the_characters_of_its_titles(begin: bool, end: bool) -> None:
    tokenizer = characters(begin=begin, end=end)
    prompt = Prompt(NextItemText(group("alpaca"), WORDING), tokenizer)
    plain, special = prompt.encode([prompt.render([{"title": title}]) for title in ("Go-/s- now", "Go</s> now")])
    changed = [(a, b) for a, b in zip(spell(tokenizer, plain), spell(tokenizer, special), strict=True) if a != b]
    assert changed == [("-", "<"), ("-", ">")]
    assert (spell(tokenizer, special)[0] == BOS) == begin
    assert EOS not in spell(tokenizer, special)


def test_special_tokens_of_a_template_stay_what_they_are() -> None:
    tokenizer = characters()
    text = f"{EOS}x{ControlTokens(tokenizer).marked('<s></s>')}{BOS}"
    assert text == f"</s>x<{MARK}s><{MARK}/s><s>"
    assert spell(tokenizer, encode(tokenizer, [text, "Go</s>"])[0]) == [EOS, "x", *"<s></s>", BOS]
    assert spell(tokenizer, encode(tokenizer, [text, "Go</s>"])[1]) == ["G", "o", EOS]


def test_categories_are_marked_with_the_title() -> None:
    control = ControlTokens(characters())
    entry = {"title": "Go", "categories": ["Old</s>"], "category": "Old</s>"}
    assert control.marked_entry(entry) == {
        "title": "Go",
        "categories": [f"Old<{MARK}/s>"],
        "category": f"Old<{MARK}/s>",
    }
    clean = {"title": "Go", "rating": 4.0}
    assert control.marked_entry(clean) is clean
