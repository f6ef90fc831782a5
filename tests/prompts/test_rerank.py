"""Prompts of candidate lists: exact text, length limit, and candidates in any order."""

from dataclasses import replace

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.lists import Lists
from llmrec.errors import InputError
from llmrec.prompts.identifiers import find_identifiers
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.rerank import ListPrompts, rankings, render_lists_frame
from llmrec.prompts.rerank_text import RerankText
from tests.catalogue.vocabularies import BOS, EOS, characters, spell
from tests.datasets.layouts import rows
from tests.prompts.shipped import group, prompt, titled
from tests.prompts.shipped import text as shipped_text

WORDING = {"item": "movie", "items": "movies", "verb": "watched"}
ITEMS = Items(list("abcde"), ["Alien", "Brazil", 'Carrie "2"', "Diva", "Eraserhead"])
LISTS = Lists(
    rows(("u", [0, 1], 3, 10), ("v", [3, 0, 1], 4, 11)),
    np.array([4, 3.5, 1, 2, 5], dtype=np.float32),
    np.array([[2, 3, 4], [4, 1, 2]], dtype=np.int32),
    np.array([[1, 5, 3], [4, 0, 2]], dtype=np.float32),
)
UNRATED = replace(LISTS, history_rating=None)
WITHOUT_HISTORY = replace(
    LISTS, rows=rows(("u", [], 3, 10), ("v", [], 4, 11)), history_rating=np.zeros(0, dtype=np.float32)
)
TOKENIZER = characters(merges=[(" ", "A"), (" ", "B"), (" ", "C")], begin=True)
"""Its identifiers have a leading space."""
ALPACA = prompt(TOKENIZER, task="rerank", wording=WORDING)

HEADER = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request. \n\n"
)
FIRST = (
    HEADER + "### Instruction:\n"
    "Given a list of movies the user has watched before and the user's ratings, please rank the candidate movies "
    "from the one the user likes most to the one liked least.\n\n"
    "### Input:\n"
    "The user has watched the following movies before:\n"
    '"Alien": 4\n'
    '"Brazil": 3.5\n'
    "The candidates are:\n"
    '"Carrie "2"": A\n'
    '"Diva": B\n'
    '"Eraserhead": C\n'
    " \n\n"
    "### Response:\n"
)
"""The prompt of the first list."""


def prompts(lists: Lists = LISTS, limit: int = 10_000) -> ListPrompts:
    return ListPrompts(ALPACA, find_identifiers(ALPACA, 3), limit, lists, ITEMS)


def text(tokens: np.ndarray) -> str:
    return "".join(spell(TOKENIZER, tokens.tolist())).removeprefix(BOS)


def length(whole: str) -> int:
    """Returns the number of tokens of a prompt, BOS included."""
    return len(TOKENIZER(whole)["input_ids"])


def test_a_prompt_byte_for_byte() -> None:
    found = prompts().prompts
    assert text(found.of(0)) == FIRST
    assert spell(TOKENIZER, found.of(0).tolist())[0] == BOS
    assert (len(found), found.truncated) == (2, 0)


def test_a_prompt_without_ratings() -> None:
    expected = FIRST.replace(" and the user's ratings", "").replace(": 4\n", "\n").replace(": 3.5\n", "\n")
    assert text(prompts(UNRATED).prompts.of(0)) == expected


def test_an_empty_history() -> None:
    assert text(prompts(WITHOUT_HISTORY).prompts.of(0)) == FIRST.replace('"Alien": 4\n"Brazil": 3.5\n', "")


def test_other_words() -> None:
    wording = {"item": "book", "items": "books", "verb": "read"}
    history = shipped_text(task="rerank", wording=wording).render(titled(["Dune"]))
    assert "Given a list of books the user has read before, please rank the candidate books from" in history
    assert 'The user has read the following books before:\n"Dune"\nThe candidates are:\n' in history


def test_identifiers_are_written_as_they_are() -> None:
    candidates = [{"title": "Dune", "identifier": "A"}, {"title": "Emma", "identifier": "B"}]
    rendered = shipped_text(task="rerank").render([], candidates)
    assert rendered.endswith('The candidates are:\n"Dune":A\n"Emma":B\n \n\n### Response:\n')


@pytest.mark.parametrize("lists", [LISTS, UNRATED])
def test_another_order_is_the_prompt_of_the_list_shown_in_it(lists: Lists) -> None:
    order = np.array([[2, 0, 1], [1, 2, 0]])
    ours, theirs = prompts(lists), prompts(lists.reordered(order)).prompts
    given = ours.reordered(np.array([1, 0, 1]), order[[1, 0, 1]])
    assert [found.tolist() for found in given] == [theirs.of(row).tolist() for row in (1, 0, 1)]
    assert given[1].dtype == np.int32
    assert '"Eraserhead": A\n"Carrie "2"": B\n"Diva": C\n' in text(given[1])
    stored = ours.reordered(np.array([0, 1]), np.array([[0, 1, 2]] * 2))
    assert [found.tolist() for found in stored] == [ours.prompts.of(row).tolist() for row in (0, 1)]


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_the_oldest_titles_go_first(gone: int) -> None:
    whole, lines = text(prompts().prompts.of(1)), ['"Diva": 1\n', '"Alien": 2\n', '"Brazil": 5\n']
    shorter = whole.replace("".join(lines[:gone]), "")
    assert whole.count("".join(lines)) == 1
    found = prompts(LISTS.take(np.array([1, 1])), limit=length(shorter))
    assert [text(found.prompts.of(row)) for row in (0, 1)] == [shorter, shorter]
    assert found.prompts.truncated == 2


def test_what_just_fits_is_not_cut() -> None:
    longest = int(prompts().prompts.lengths.max())
    assert prompts(limit=longest).prompts.truncated == 0
    assert prompts(limit=longest - 1).prompts.truncated == 1


def test_a_cut_history_is_cut_in_every_order() -> None:
    order = np.array([[1, 2, 0], [2, 0, 1]])
    limit = int(prompts().prompts.lengths.min()) - 1
    ours, theirs = prompts(limit=limit), prompts(LISTS.reordered(order), limit).prompts
    assert ours.prompts.truncated == theirs.truncated == 2
    shown = ours.reordered(np.array([0, 1]), order)
    assert [found.tolist() for found in shown] == [theirs.of(row).tolist() for row in (0, 1)]


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"dataset\.wording\.verb=\['played', 'bought'\]"):
        RerankText(group("alpaca"), {**WORDING, "verb": ["played", "bought"]})


def test_candidates_that_are_too_long_alone_are_refused() -> None:
    bare = length(FIRST.replace('"Alien": 4\n"Brazil": 3.5\n', ""))
    message = rf"a list of user u takes {bare} tokens .* leaves {bare - 2} beside .*Raise backbone\.max_length by 2"
    with pytest.raises(InputError, match=message):
        prompts(LISTS.take(np.array([0])), limit=bare - 2)
    assert prompts(LISTS.take(np.array([0])), limit=bare).prompts.lengths.tolist() == [bare]


def test_a_ranking_follows_its_prompt_and_ends() -> None:
    found = rankings(ALPACA, LISTS, ITEMS, max_length=10_000)
    assert text(found.of(0)) == FIRST + " B C A" + EOS
    assert text(found.of(1)).endswith("### Response:\n A C B" + EOS)


def test_the_longest_ranking_fits_the_model() -> None:
    whole = rankings(ALPACA, LISTS, ITEMS, max_length=10_000)
    for limit in (int(whole.lengths.max()) - 1, int(whole.lengths.min()) - 1):
        assert rankings(ALPACA, LISTS, ITEMS, max_length=limit).lengths.max() <= limit


@pytest.mark.parametrize("lists", [WITHOUT_HISTORY, replace(WITHOUT_HISTORY, history_rating=None)])
def test_the_frame_is_every_prompt_and_ranking_without_titles(lists: Lists) -> None:
    blank = ListPrompts(ALPACA, find_identifiers(ALPACA, 3), 10_000, lists, Items(ITEMS.ids, [""] * 5))
    assert render_lists_frame(ALPACA.text, lists) == text(blank.prompts.of(0)) + " A B C"


def test_candidates_before_the_history_are_shown_in_any_order() -> None:
    template = (
        "rank{% for c in candidates %}\n{{ c.identifier }} {{ c.title }}{% endfor %}\nfor"
        "{% for entry in history %} {{ entry.title }}{% endfor %}\nbest:\n"
    )
    own = Prompt(RerankText({"name": "mine", "rerank": template}, WORDING), TOKENIZER)
    limit = length('rank\n A Carrie "2"\n B Diva\n C Eraserhead\nfor Brazil\nbest:\n')
    first = LISTS.take(np.array([0]))
    found = ListPrompts(own, find_identifiers(own, 3), limit, first, ITEMS)
    (shown,) = found.reordered(np.array([0]), np.array([[2, 0, 1]]))
    assert text(found.prompts.of(0)) == 'rank\n A Carrie "2"\n B Diva\n C Eraserhead\nfor Brazil\nbest:\n'
    assert text(shown) == 'rank\n A Eraserhead\n B Carrie "2"\n C Diva\nfor Brazil\nbest:\n'


def test_ratings_that_a_dataset_does_not_have_are_named() -> None:
    template = group("alpaca")["rerank"].replace(" if rated", "")
    own = Prompt(RerankText({"name": "mine", "rerank": template}, WORDING), TOKENIZER)
    assert len(ListPrompts(own, find_identifiers(own, 3), 10_000, LISTS, ITEMS).prompts) == 2
    with pytest.raises(InputError, match=r"prompt\.rerank, line 8: .*'rating'"):
        ListPrompts(own, find_identifiers(own, 3), 10_000, UNRATED, ITEMS)
