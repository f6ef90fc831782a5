"""The shipped prompts: `alpaca` to the byte as it was before prompts were a config group, and what the others add."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmrec.prompts.next_item import PromptTokenizer
from llmrec.prompts.text import Entry
from tests.catalogue.vocabularies import characters
from tests.datasets.layouts import group as dataset_group
from tests.prompts.shipped import PROMPT_END, prompt, text, titled
from tests.prompts.test_next_item import ITEMS

STORED = json.loads((Path(__file__).parent / "alpaca.json").read_text(encoding="utf-8"))
"""Prompts of every dataset as an earlier version rendered them, without Jinja."""
HISTORY = titled(STORED["history"])
RATED: list[Entry] = [{**entry, "rating": rating} for entry, rating in zip(HISTORY, STORED["ratings"], strict=True)]
CANDIDATES: list[Entry] = [
    {"title": title, "identifier": identifier}
    for title, identifier in zip(STORED["candidates"], STORED["identifiers"], strict=True)
]


@pytest.mark.parametrize("name", STORED["sets"])
def test_alpaca_is_rendered_to_the_byte_as_it_was(name: str) -> None:
    stored = STORED["sets"][name]
    next_item, rerank = (text(task=task, wording=stored["wording"]) for task in ("next_item", "rerank"))
    assert stored["wording"] == dataset_group(name)["wording"]
    assert next_item.render(HISTORY) == stored["next_item"]
    assert next_item.render([]) == stored["next_item_without_history"]
    assert rerank.render(HISTORY, CANDIDATES) == stored["rerank"]
    assert rerank.render(RATED, CANDIDATES, rated=True) == stored["rerank_with_ratings"]
    assert rerank.render([], CANDIDATES) == stored["rerank_without_history"]


def test_alpaca_has_the_tokens_of_the_text_as_it_was(tmp_path: Path) -> None:
    stored = STORED["sets"]["games"]
    tokenizer = characters(merges=[("e", " "), ("\n", "\n")], begin=True, end=True)
    found = PromptTokenizer(prompt(tokenizer, wording=stored["wording"]), ITEMS, 9_999, 0, tmp_path)
    prompts = found.histories([STORED["history"], []])
    for row, key in enumerate(("next_item", "next_item_without_history")):
        assert prompts.of(row).tolist() == tokenizer(stored[key])["input_ids"][:-1]


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_alpaca_ends_where_titles_and_rankings_are_tokenised(task: str) -> None:
    alpaca = prompt(characters(), task=task)
    assert (alpaca.end, alpaca.end_token) == (PROMPT_END, alpaca.tokenizer.eos_token_id)


def test_plain_is_the_history_under_a_label() -> None:
    assert text("plain").render(titled(["Go", "Chess"])) == 'games played:\n"Go"\n"Chess"\n'
    assert prompt(characters(), "plain").end == "\n"


def test_plain_ranks_after_the_candidates() -> None:
    ratings: list[dict[str, Any]] = [{"title": "Go", "rating": 4.0}]
    expected = 'games played:\n"Go": 4\ncandidates:\n"Lost Valley": A\n"<b>Bold</b>": B\n" spaces ": C\nranking:\n'
    assert text("plain", "rerank").render(ratings, CANDIDATES, rated=True) == expected


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_chat_is_a_message_without_blanks_around_it(task: str) -> None:
    rendered = text("chat", task).render(HISTORY, CANDIDATES)
    assert rendered == rendered.strip()
    assert rendered.startswith("Given a list of games the user has played before, ")
    assert '"Iron Harbor"' in rendered
