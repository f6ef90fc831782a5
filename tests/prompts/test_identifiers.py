"""Identifiers that are single tokens of a tokenizer wherever they occur in a ranking."""

import functools
import os
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from llmrec.catalogue.titles import encode
from llmrec.errors import InputError
from llmrec.prompts import identifiers
from llmrec.prompts.identifiers import Identifiers
from tests.catalogue.vocabularies import characters
from tests.prompts.shipped import PROMPT_END, prompt, text

Merges = Sequence[tuple[str, str]]
NO_LETTERS = [("A", "B"), ("a", "b")]
"""Merges under which no two adjacent letters remain separate tokens."""


@functools.cache
def llama3() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(Path(os.environ["LLMREC_TOKENIZERS"]) / "llama3")


def find_identifiers(tokenizer: PreTrainedTokenizerBase, count: int) -> Identifiers:
    """The identifiers for the prompt `alpaca`."""
    return identifiers.find_identifiers(prompt(tokenizer, task="rerank"), count)


def assert_single(tokenizer: PreTrainedTokenizerBase, count: int) -> None:
    """Asserts that rankings in any order tokenise to the prompt's tokens and one token for each identifier."""
    found = find_identifiers(tokenizer, count)
    end = encode(tokenizer, [PROMPT_END])[0]
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(count)
        ranked = PROMPT_END + "".join(found.texts[place] for place in order)
        assert encode(tokenizer, [ranked])[0] == [*end, *found.tokens[order]]


@pytest.mark.llama3_tokenizer
def test_llama_3_takes_letters_behind_a_blank() -> None:
    found = find_identifiers(llama3(), 10)
    assert found.texts == (" A", " B", " C", " D", " E", " F", " G", " H", " I", " J")
    assert llama3().convert_ids_to_tokens(found.tokens.tolist()) == [f"Ġ{letter}" for letter in "ABCDEFGHIJ"]
    assert_single(llama3(), 26)


@pytest.mark.llama3_tokenizer
def test_llama_3_reads_the_same_tokens_beside_the_candidates() -> None:
    found = find_identifiers(llama3(), 20)
    shown = [{"title": "Go (1994)", "identifier": identifier} for identifier in found.texts]
    rendered = text(task="rerank").render([], shown).partition("The candidates are:")[2]
    tokens = encode(llama3(), [rendered])[0]
    assert [token for token in tokens if token in found.tokens] == found.tokens.tolist()


@pytest.mark.llama3_tokenizer
def test_llama_3_has_no_more_than_the_letters() -> None:
    with pytest.raises(InputError, match=r"task\.candidates=27: the tokenizer .*llama3 has at most 26 letters"):
        find_identifiers(llama3(), 27)


@pytest.mark.parametrize(
    ("merges", "expected"),
    [
        ([(" ", "A"), (" ", "B")], (" A", " B")),
        ([(" ", "a"), (" ", "b")], (" a", " b")),
        ([], ("A", "B")),
        ([(" ", "A")], ("A", "B")),
        ([(" ", "A"), (" ", "B"), (" A", " B")], ("A", "B")),
        ([("A", "B")], ("a", "b")),
        ([("B", "A")], ("a", "b")),
        ([("\n", "A")], ("a", "b")),
        ([*NO_LETTERS, (" ", "1"), (" ", "2")], (" 1", " 2")),
        # An identifier must be the same token after a title in the prompt and in a ranking.
        ([(":", "A")], ("a", "b")),
        ([("B", "\n")], ("a", "b")),
    ],
)
def test_the_first_scheme_that_nothing_merges(merges: Merges, expected: tuple[str, ...]) -> None:
    tokenizer = characters(merges=merges)
    found = find_identifiers(tokenizer, 2)
    assert found.texts == expected
    assert found.tokens.tolist() == tokenizer.convert_tokens_to_ids(list(expected))
    assert_single(tokenizer, 2)


def test_only_the_identifiers_asked_for_must_fit() -> None:
    tokenizer = characters(merges=[(" ", "A"), (" ", "B"), ("A", "D")])
    assert [find_identifiers(tokenizer, count).texts for count in (2, 3, 4)] == [
        (" A", " B"),
        ("A", "B", "C"),
        ("a", "b", "c", "d"),
    ]


def test_a_ranking_must_be_able_to_end() -> None:
    with pytest.raises(InputError, match=r"no EOS token, which has to end every response\. Set tokenizer\.eos_token"):
        find_identifiers(characters(eos=None), 2)


def test_no_more_than_63_so_that_a_set_of_them_is_a_number() -> None:
    merges = [(" ", digit) for digit in string.digits] + [
        (f" {ten}", unit) for ten in string.digits[1:] for unit in string.digits
    ]
    tokenizer = characters(merges=[*NO_LETTERS, *merges])
    assert len(find_identifiers(tokenizer, 63)) == 63
    with pytest.raises(InputError, match="at most 63 letters or numbers"):
        find_identifiers(tokenizer, 64)


def test_special_tokens_of_the_tokenizer_are_no_identifiers() -> None:
    assert find_identifiers(characters(begin=True, end=True), 3).texts == ("A", "B", "C")


def test_all_letters() -> None:
    assert find_identifiers(characters(), 26).texts == tuple(string.ascii_uppercase)
    assert_single(characters(), 26)


@pytest.mark.parametrize(
    ("merges", "count", "most"),
    [([], 27, 26), (NO_LETTERS, 2, 1), ([("A", "C"), ("a", "c")], 3, 2), ([*NO_LETTERS, (" ", "1"), (" ", "2")], 3, 2)],
)
def test_a_tokenizer_with_too_few_is_named(merges: Merges, count: int, most: int) -> None:
    tokenizer = characters(merges=merges)
    tokenizer.name_or_path = "some/tokenizer"
    message = rf"task\.candidates={count}: the tokenizer some/tokenizer has at most {most} .*Lower task\.candidates"
    with pytest.raises(InputError, match=message):
        find_identifiers(tokenizer, count)
