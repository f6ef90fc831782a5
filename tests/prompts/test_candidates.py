"""Prompts of task candidates: their text, and what is cut if they are too long."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError
from llmrec.prompts.candidates_text import CandidatesText
from llmrec.prompts.next_item import PromptTokenizer
from tests.catalogue.vocabularies import characters, spell
from tests.datasets.layouts import rows
from tests.prompts.shipped import WORDING, group, prompt, text, titled

ITEMS = Items(ids=list("abcd"), titles=["Go", "Chess", "Shogi", "Catan"])
ROWS = rows(("u", [0, 1], 3, 5), ("v", [1], 2, 6))
SHOWN = np.array([[2, 3], [2, 0]], dtype=np.int32)
FRAME = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request. \n\n### Instruction:\n"
)
EXPECTED = {
    "alpaca": FRAME
    + "Given a list of games the user has played before, please choose the game that the user likes most from the "
    "candidate games.\n\n### Input:\n"
    'The user has played the following games before: "Go", "Chess"\n'
    'The candidates are: "Shogi", "Catan"\n \n\n### Response:\n',
    "llara": 'The visit history of this user is: "Go", "Chess". Recommend a next game for this user from the following '
    'game title set: "Shogi", "Catan". The recommendation should contain one game title only. Recommendation:\n',
    "plain": 'games played:\n"Go"\n"Chess"\ncandidates:\n"Shogi"\n"Catan"\nchoice:\n',
}


def tokenized(cache: Path, limit: int = 10_000, name: str = "plain") -> PromptTokenizer:
    return PromptTokenizer(prompt(characters(), name, "candidates"), ITEMS, limit, 0, cache)


def texts(cache: Path, limit: int = 10_000, name: str = "plain") -> list[str]:
    tokenizer = tokenized(cache, limit, name)
    prompts = tokenizer.rows(with_candidates(), ITEMS)
    return ["".join(spell(tokenizer.prompt.tokenizer, prompts.of(row))) for row in range(len(prompts))]


def with_candidates() -> Rows:
    return replace(ROWS, candidates=SHOWN)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_text_shows_history_and_candidates_in_their_order(name: str, tmp_path: Path) -> None:
    assert text(name, "candidates").render(titled(["Go", "Chess"]), titled(["Shogi", "Catan"])) == EXPECTED[name]
    assert texts(tmp_path, name=name)[0] == EXPECTED[name]


def test_candidates_of_other_rows_are_other_prompts(tmp_path: Path) -> None:
    assert texts(tmp_path)[1] == 'games played:\n"Chess"\ncandidates:\n"Shogi"\n"Go"\nchoice:\n'


def test_the_history_is_cut_and_the_candidates_stay(tmp_path: Path) -> None:
    limit = len(EXPECTED["plain"]) - 1
    assert texts(tmp_path, limit)[0] == 'games played:\n"Chess"\ncandidates:\n"Shogi"\n"Catan"\nchoice:\n'
    bare = len('games played:\ncandidates:\n"Shogi"\n"Catan"\nchoice:\n')
    assert texts(tmp_path, bare)[0].startswith("games played:\ncandidates:")
    with pytest.raises(InputError, match=r"2 candidates takes \d+ tokens .*max_length by 1 or more, or lower task"):
        texts(tmp_path, bare - 1)


def test_the_prompt_of_another_history_has_the_given_candidates(tmp_path: Path) -> None:
    tokenizer = tokenized(tmp_path)
    found = tokenizer.history(["Catan"], SHOWN[1])
    expected = 'games played:\n"Catan"\ncandidates:\n"Shogi"\n"Go"\nchoice:\n'
    assert "".join(spell(tokenizer.prompt.tokenizer, found)) == expected


def test_a_text_that_does_not_show_the_candidates_is_refused() -> None:
    only_history = {"name": "mine", "candidates": group("plain")["next_item"]}
    with pytest.raises(InputError, match=r"prompt\.candidates of prompt=mine does not show the candidates\. Add"):
        CandidatesText(only_history, WORDING)
    with pytest.raises(InputError, match="prompt=mine has no text for task=candidates"):
        CandidatesText({"name": "mine"}, WORDING)
