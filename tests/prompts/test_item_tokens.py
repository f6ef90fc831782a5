"""Prompts of items that tokens represent: the tokens stand where titles stand in quotes."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmrec.backbones.added_tokens import add_tokens
from llmrec.catalogue.item_tokens import ItemTokens
from llmrec.prompts.identifiers import find_identifiers
from llmrec.prompts.next_item import PromptTokenizer
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.rerank import ListPrompts
from llmrec.prompts.text import PromptText, entries_of
from tests.catalogue.vocabularies import characters, spell
from tests.invariants.world import small_dataset, small_lists
from tests.prompts.shipped import TEXTS, WORDING, group, text

TITLES = small_dataset().items
SEQUENCES = [(f"<a_{number // 4}>", f"<b_{number % 4}>") for number in range(len(TITLES.distinct_titles))]
ITEMS = replace(TITLES, tokens=ItemTokens(SEQUENCES, sorted({token for pair in SEQUENCES for token in pair})))
NAMES = ("alpaca", "chat", "plain")


def shown(number: int) -> str:
    """The tokens of an item."""
    return "".join(SEQUENCES[ITEMS.title_of[number]])


def token_text(name: str, task: str) -> PromptText:
    return TEXTS[task](group(name), WORDING, titles=False)


def prompt(task: str) -> Prompt:
    tokenizer = characters()
    assert ITEMS.tokens is not None
    add_tokens(tokenizer, ITEMS.tokens)
    return Prompt(token_text("alpaca", task), tokenizer)


@pytest.mark.parametrize("name", NAMES)
def test_a_history_is_that_of_titles_with_tokens_in_the_place_of_quoted_titles(name: str) -> None:
    expected = text(name).render(entries_of(TITLES, [0, 6]))
    for item in (0, 6):
        expected = expected.replace(f'"{TITLES.titles[item]}"', shown(item))
    expected = expected.replace("title only, in double quotes", "tokens of the game only")
    assert token_text(name, "next_item").render(entries_of(ITEMS, [0, 6])) == expected
    assert '"' not in expected


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_shown_by_their_tokens(name: str) -> None:
    candidates = [
        {**entry, "identifier": letter} for entry, letter in zip(entries_of(ITEMS, [2, 3]), "AB", strict=True)
    ]
    rendered = token_text(name, "rerank").render(entries_of(ITEMS, [1]), candidates)
    assert f"{shown(1)}\n" in rendered
    assert f"{shown(2)}:A\n{shown(3)}:B\n" in rendered


def test_a_template_of_titles_in_quotes_shows_tokens_in_quotes() -> None:
    template = '{% for entry in history %}"{{ entry.title }}" {% endfor %}?'
    own = NextItemText({"name": "mine", "next_item": template}, WORDING, titles=False)
    assert own.render(entries_of(ITEMS, [4])) == f'"{shown(4)}" ?'


def test_titles_that_have_no_tokens_are_left_out_of_histories(tmp_path: Path) -> None:
    tokenizer = PromptTokenizer(prompt("next_item"), ITEMS, 1_000, 0, tmp_path)
    known, unknown, mixed = map(tokenizer.histories([["Doom"], ["Tetris"], ["Tetris", "Doom"]]).of, range(3))
    assert mixed.tolist() == known.tolist()
    assert unknown.tolist() == tokenizer.without_history().tolist()
    spelled = spell(tokenizer.prompt.tokenizer, known)
    assert [token for token in spelled if token.startswith(("<a_", "<b_"))] == list(SEQUENCES[6])


def test_every_row_is_the_frame_around_its_tokens(tmp_path: Path) -> None:
    tokenizer = PromptTokenizer(prompt("next_item"), ITEMS, 1_000, 0, tmp_path)
    dataset = small_dataset()
    prompts = tokenizer.rows(dataset.sample, ITEMS)
    assert tokenizer.history_free(prompts).tolist() == tokenizer.without_history().tolist()


def test_lists_have_one_token_for_each_identifier() -> None:
    lists, own = small_lists(), prompt("rerank")
    identifiers = find_identifiers(own, 4)
    prompts = ListPrompts(own, identifiers, 2_000, lists, ITEMS).prompts
    spelled = spell(own.tokenizer, prompts.of(0))
    for item, identifier in zip(lists.candidates[0], identifiers.texts, strict=True):
        sequence = [*SEQUENCES[ITEMS.title_of[item]], ":", identifier]
        assert any(spelled[place : place + 4] == sequence for place in range(len(spelled)))
