"""Tokenization of titles as continuations of the prompt."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llmrec.catalogue.titles import TitleTokens, quote, tokenize_titles, tokenizer_hash
from tests.catalogue.vocabularies import EOS, characters, spell

END = "### Response:\n"


def spelled(tokenizer: PreTrainedTokenizerFast, titles: list[str]) -> list[list[str]]:
    tokens = tokenize_titles(tokenizer, titles, END, tokenizer.convert_tokens_to_ids(EOS))
    return [spell(tokenizer, tokens.of(title)) for title in range(len(tokens))]


def moved(tokenizer: PreTrainedTokenizerFast, titles: list[str]) -> int:
    return tokenize_titles(tokenizer, titles, END, tokenizer.convert_tokens_to_ids(EOS)).prompt_overlap


def joined(tokenizer: PreTrainedTokenizerFast, tokens: TitleTokens, title: int) -> list[int]:
    """Returns the prompt's end without the moved tokens, followed by the title without its EOS."""
    end = tokenizer(END, add_special_tokens=False)["input_ids"]
    return end[: len(end) - tokens.prompt_overlap] + tokens.of(title)[:-1].tolist()


def test_a_title_is_quoted_and_ends_with_eos() -> None:
    assert spelled(characters(), ["Go"]) == [['"', "G", "o", '"', EOS]]


@pytest.mark.parametrize(("begin", "end"), [(True, False), (False, True), (True, True)])
def test_special_tokens_that_the_tokenizer_adds_are_no_part_of_a_title(begin: bool, end: bool) -> None:
    assert spelled(characters(begin=begin, end=end), ["Go"]) == [['"', "G", "o", '"', EOS]]


def test_quotes_entities_and_blank_titles_stay_verbatim() -> None:
    tokenizer = characters()
    titles = ['12" Box', "Salt &amp; Stone", "", " "]
    assert ["".join(title) for title in spelled(tokenizer, titles)] == [quote(title) + EOS for title in titles]


def test_no_token_moves_where_nothing_merges() -> None:
    assert moved(characters(), ["Go", "Chess"]) == 0


def test_a_merging_boundary_moves_the_end_of_the_prompt_to_the_titles() -> None:
    tokenizer = characters(merges=[("\n", '"')])
    assert moved(tokenizer, ["Go"]) == 1
    assert spelled(tokenizer, ["Go"]) == [['\n"', "G", "o", '"', EOS]]


def test_prompt_and_title_joined_are_the_reading_of_the_joined_text() -> None:
    # In the title that begins with a quote, the two quotes merge first, so that the newline stays a token of its own.
    tokenizer = characters(merges=[('"', '"'), (":", "\n"), (":\n", '"')])
    titles = ["Go", '"Wow" Crew', "", "Chess"]
    tokens = tokenize_titles(tokenizer, titles, END, tokenizer.convert_tokens_to_ids(EOS))
    for number, title in enumerate(titles):
        assert joined(tokenizer, tokens, number) == tokenizer(END + quote(title), add_special_tokens=False)["input_ids"]


def test_all_titles_give_up_as_much_of_the_prompt_as_the_one_that_merges_most() -> None:
    tokenizer = characters(merges=[('"', '"'), ("\n", '"')])
    assert spelled(tokenizer, ['"A', "B"]) == [["\n", '""', "A", '"', EOS], ['\n"', "B", '"', EOS]]


def test_a_tokenizer_without_a_pad_token_will_do() -> None:
    tokenizer = characters()
    assert tokenizer.pad_token is None
    assert [len(title) for title in spelled(tokenizer, ["Go", "Chess"])] == [5, 8]


def test_titles_in_several_chunks_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the title of the last chunk merges the boundary.
    tokenizer, titles = characters(merges=[('"', "Z"), ("\n", '"Z')]), ["Go", "Chess", "Anno", "Braid", "Zoo"]
    whole = tokenize_titles(tokenizer, titles, END, tokenizer.convert_tokens_to_ids(EOS))
    monkeypatch.setattr("llmrec.catalogue.titles.CHUNK", 2)
    chunked = tokenize_titles(tokenizer, titles, END, tokenizer.convert_tokens_to_ids(EOS))
    assert whole.prompt_overlap == chunked.prompt_overlap == 1
    assert whole.tokens.tolist() == chunked.tokens.tolist()
    assert whole.offsets.tolist() == chunked.offsets.tolist()


def test_a_title_ends_with_the_token_that_the_prompt_asks_for() -> None:
    titles = tokenize_titles(characters(), ["Go", "Chess"], END, 7)
    assert [titles.of(0)[-1], titles.of(1)[-1], titles.end_token] == [7, 7, 7]


def test_the_hash_tells_tokenizers_apart() -> None:
    hashes = {
        tokenizer_hash(tokenizer)
        for tokenizer in (
            characters(),
            characters(begin=True),
            characters(end=True),
            characters(eos="!"),
            characters(merges=[("\n", '"')]),
        )
    }
    assert len(hashes) == 5
    assert tokenizer_hash(characters()) == tokenizer_hash(characters())


def test_the_hash_is_no_other_after_use() -> None:
    # A tokenizer.json may hold truncation and padding, which the first call of the tokenizer disables.
    tokenizer = characters()
    tokenizer.backend_tokenizer.enable_truncation(8)
    tokenizer.backend_tokenizer.enable_padding(length=8)
    before = tokenizer_hash(tokenizer)
    tokenizer(["Go"])
    assert tokenizer_hash(tokenizer) == before


def test_the_hash_is_no_other_after_saving(tmp_path: Path) -> None:
    tokenizer = characters(begin=True)
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_hash(AutoTokenizer.from_pretrained(tmp_path)) == tokenizer_hash(tokenizer)
