"""Prompts in the published wording: text, length limit, and cached tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import TitleTokens, quote, tokenize_titles
from llmrec.errors import InputError
from llmrec.prompts.next_item import PromptTokenizer, prompt_limit
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompts import Prompts
from tests.catalogue.vocabularies import BOS, EOS, characters, spell
from tests.datasets.layouts import group, rows
from tests.prompts.shipped import PROMPT_END, WORDING, prompt, render
from tests.prompts.shipped import group as shipped

ITEMS = Items(ids=["a", "b", "c"], titles=["Go", "Chess", "Go"])
PUBLISHED = {
    "games": (
        "Given a list of video games the user has played before, "
        "please recommend a new video game that the user likes to the user.",
        "The user has played the following video games before: ",
    ),
    "toys": (
        "Given a list of toys the user has played before, please recommend a new toy that the user likes to the user.",
        "The user has played the following toys before: ",
    ),
    "books": (
        "Given a list of books the user has read before, please recommend a new book that the user likes to the user.",
        "The user has read the following books before: ",
    ),
    "clothing": (
        "Given a list of clothing the user has worn before, "
        "please recommend a new clothing that the user likes to the user.",
        "The user has worn the following clothing before: ",
    ),
    "office": (
        "Given a list of office products the user has used before, "
        "please recommend a new office product that the user likes to the user.",
        "The user has used the following office products before: ",
    ),
}


def tokenised(
    tokenizer: PreTrainedTokenizerFast, cache: Path, limit: int = 10_000, prompt_overlap: int = 0
) -> PromptTokenizer:
    return PromptTokenizer(prompt(tokenizer), ITEMS, limit, prompt_overlap, cache)


def texts(tokenizer: PreTrainedTokenizerFast, prompts: Prompts) -> list[str]:
    return ["".join(spell(tokenizer, prompts.of(row))) for row in range(len(prompts))]


def length(history: Sequence[str]) -> int:
    """Returns the number of tokens of a prompt if each character is a token."""
    return len(render(WORDING, history))


def test_prompts_begin_with_the_start(tmp_path: Path) -> None:
    tokenizer = characters()
    start = tokenised(tokenizer, tmp_path).start()
    prompts = tokenised(tokenizer, tmp_path).histories([["Go"], ["Chess", "Go"], ["unknown"]])
    assert start.tolist() == prompts.shared_prefix().tolist()
    assert "".join(spell(tokenizer, start)).endswith('games before: "')


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_prompt_byte_for_byte(name: str) -> None:
    instruction, history = PUBLISHED[name]
    expected = (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request. "
        "\n\n### Instruction:\n"
        f"{instruction}"
        "\n\n### Input:\n"
        f'{history}"Iron Harbor", "Lost Valley"'
        "\n \n\n### Response:\n"
    )
    wording: Any = group(name)["wording"]
    assert render(wording, ["Iron Harbor", "Lost Valley"]) == expected


def test_titles_stand_verbatim_in_the_prompt() -> None:
    titles = ["Rock &amp; Roll", '12" Steel', "Pokémon  Édition", "", " spaces "]
    expected = 'before: "Rock &amp; Roll", "12" Steel", "Pokémon  Édition", "", " spaces "\n \n\n### Response:\n'
    assert render(WORDING, titles).endswith(expected)


def test_the_prompt_ends_where_titles_are_read_from() -> None:
    assert render(WORDING, ["Go"]).endswith(PROMPT_END)


def test_every_history_becomes_its_own_prompt(tmp_path: Path) -> None:
    tokenizer, histories = characters(), [["Go"], ["Chess", "Anno"], []]
    prompts = tokenised(tokenizer, tmp_path).histories(histories)
    assert texts(tokenizer, prompts) == [render(WORDING, history) for history in histories]
    assert prompts.lengths.tolist() == [length(history) for history in histories]
    assert prompts.truncated == 0


def test_rows_of_a_dataset_become_prompts_of_their_titles(tmp_path: Path) -> None:
    tokenizer = characters()
    prompts = tokenised(tokenizer, tmp_path).rows(rows(("u", [2, 1], 0, 5), ("v", [0], 1, 6)), ITEMS)
    assert texts(tokenizer, prompts) == [render(WORDING, ["Go", "Chess"]), render(WORDING, ["Go"])]


def test_the_oldest_titles_are_cut_and_nothing_else(tmp_path: Path) -> None:
    tokenizer, history = characters(), ["Oldest", "Older", "Newer", "Newest"]
    limit = length(["Newer", "Newest"]) + 3
    prompts = tokenised(tokenizer, tmp_path, limit).histories([history, ["Newest"]])
    assert texts(tokenizer, prompts) == [render(WORDING, ["Newer", "Newest"]), render(WORDING, ["Newest"])]
    assert prompts.truncated == 1


def test_a_prompt_that_just_fits_is_not_cut(tmp_path: Path) -> None:
    tokenizer, history = characters(), ["Older", "Newest"]
    fits = tokenised(tokenizer, tmp_path, length(history)).histories([history])
    cut = tokenised(tokenizer, tmp_path, length(history) - 1).histories([history])
    assert texts(tokenizer, fits) == [render(WORDING, history)]
    assert texts(tokenizer, cut) == [render(WORDING, ["Newest"])]


def test_a_title_longer_than_the_limit_leaves_an_empty_history(tmp_path: Path) -> None:
    tokenizer = characters()
    prompts = tokenised(tokenizer, tmp_path, length([]) + 5).histories([["Go", "A title of some length"]])
    assert texts(tokenizer, prompts) == [render(WORDING, [])]


def test_a_limit_that_the_bare_instruction_exceeds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"backbone\.max_length by 7"):
        tokenised(characters(), tmp_path, length([]) - 7)


def test_the_longest_title_is_what_the_limit_leaves_room_for() -> None:
    items = Items(ids=["a", "b"], titles=["Go", "Gomoku"])
    titles = tokenize_titles(characters(), items.distinct_titles, PROMPT_END, 0)
    # Six letters, two quotes and EOS.
    assert prompt_limit(100, titles, items) == 91
    with pytest.raises(InputError, match=r"'Gomoku' takes 9 tokens.*backbone\.max_length is 9"):
        prompt_limit(9, titles, items)


def test_bos_stays_and_a_prompt_stays_open(tmp_path: Path) -> None:
    tokenizer = characters(begin=True, end=True)
    prompts = tokenised(tokenizer, tmp_path).histories([["Go"], ["Chess"]])
    assert texts(tokenizer, prompts) == [BOS + render(WORDING, ["Go"]), BOS + render(WORDING, ["Chess"])]


@pytest.mark.parametrize(("begin", "end"), [(False, False), (True, False), (True, True)])
def test_prompt_and_title_joined_are_the_tokenizers_own_reading(tmp_path: Path, begin: bool, end: bool) -> None:
    merges = [('"', '"'), ("\n", '"'), ("\n", "\n"), (":", " ")]
    tokenizer = characters(merges=merges, begin=begin, end=end)
    titles = ["Go", '"Wow" Crew']
    tokens: TitleTokens = tokenize_titles(tokenizer, titles, PROMPT_END, tokenizer.convert_tokens_to_ids(EOS))
    prompts = tokenised(tokenizer, tmp_path, prompt_overlap=tokens.prompt_overlap).histories([["Chess"]])
    assert tokens.prompt_overlap == 1
    for number, title in enumerate(titles):
        whole = tokenizer(render(WORDING, ["Chess"]) + quote(title))["input_ids"]
        joined = [*prompts.of(0), *tokens.of(number)]
        assert joined == (whole if end else [*whole, tokenizer.convert_tokens_to_ids(EOS)])


def test_prompts_are_tokenised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = length(["Chess"])
    first = tokenised(characters(), tmp_path, limit).histories([["Go", "Chess"], ["Go"]])
    again = tokenised(characters(), tmp_path, limit)
    monkeypatch.setattr(again, "_encode", lambda _: pytest.fail("tokenised again"))
    stored = again.histories([["Go", "Chess"], ["Go"]])
    assert stored.tokens.tolist() == first.tokens.tolist()
    assert stored.offsets.tolist() == first.offsets.tolist()
    assert stored.truncated == first.truncated == 1


def test_whatever_changes_the_tokens_has_a_file_of_its_own(tmp_path: Path) -> None:
    base, chess = characters(), [["Chess"]]
    tokenised(base, tmp_path).histories(chess)
    tokenised(base, tmp_path).histories([["Go"]])
    tokenised(base, tmp_path, limit=9_999).histories(chess)
    tokenised(base, tmp_path, prompt_overlap=1).histories(chess)
    tokenised(characters(begin=True), tmp_path).histories(chess)
    PromptTokenizer(prompt(base, wording={**WORDING, "verb": "liked"}), ITEMS, 10_000, 0, tmp_path).histories(chess)
    tokenised(base, tmp_path).histories(chess)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 6


def test_the_same_prompts_in_another_order_are_not_taken_for_these(tmp_path: Path) -> None:
    tokenizer = characters()
    kept = tokenised(tokenizer, tmp_path)
    kept.histories([["Go"], ["Chess"]])
    swapped = kept.histories([["Chess"], ["Go"]])
    assert texts(tokenizer, swapped) == [render(WORDING, ["Chess"]), render(WORDING, ["Go"])]


def joined(*prompts: Sequence[int]) -> Prompts:
    return Prompts.joined([np.array(prompt, dtype=np.int32) for prompt in prompts])


def test_the_shared_prefix_is_what_all_prompts_begin_with() -> None:
    assert joined([1, 2, 3, 4, 5], [1, 2, 3, 9], [1, 2, 3, 4]).shared_prefix().tolist() == [1, 2, 3]
    assert joined([1, 2], [3, 2]).shared_prefix().tolist() == []


def test_the_shared_prefix_leaves_every_prompt_a_token_of_its_own() -> None:
    assert joined([1, 2, 3], [1, 2, 3]).shared_prefix().tolist() == [1, 2]
    assert joined([1, 2, 3], [1, 2]).shared_prefix().tolist() == [1]


def test_taking_prompts_keeps_the_order_asked_for() -> None:
    taken = joined([1], [2, 3], [4, 5, 6]).take(np.array([2, 0, 2]))
    assert [taken.of(row).tolist() for row in range(3)] == [[4, 5, 6], [1], [4, 5, 6]]


def test_the_history_free_prompt_is_one_for_all_rows(tmp_path: Path) -> None:
    tokenizer = tokenised(characters(), tmp_path)
    prompts = tokenizer.histories([["Braid"], ["Anno", "Civ"], ['"', "9"]])
    free = tokenizer.history_free(prompts)
    assert "".join(spell(characters(), free)) == render(WORDING, [])


@pytest.mark.parametrize(("at", "where"), [(40, "head"), (-3, "tail")])
def test_a_template_that_varies_by_row_is_refused(at: int, where: str, tmp_path: Path) -> None:
    tokenizer = tokenised(characters(), tmp_path)
    pieces = [tokenizer.histories([[title]]).of(0).copy() for title in ("Braid", "Anno", "Civ")]
    pieces[1][at] += 1
    with pytest.raises(InputError, match="the prompt of row 1 does not follow the template"):
        tokenizer.history_free(Prompts.joined(pieces))


def test_a_row_too_short_for_the_template_is_refused(tmp_path: Path) -> None:
    tokenizer = tokenised(characters(), tmp_path)
    whole = tokenizer.histories([["Braid"]]).of(0)
    with pytest.raises(InputError, match="the prompt of row 0"):
        tokenizer.history_free(Prompts.joined([whole[:20], whole]))


def test_a_wording_of_several_texts_is_refused() -> None:
    wording: dict[str, Any] = {**WORDING, "verb": ["played", "bought"]}
    with pytest.raises(InputError, match=r"dataset\.wording\.verb=.*give one text"):
        NextItemText(shipped("alpaca"), wording)
