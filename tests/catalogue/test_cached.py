"""The disk cache of title tokens and trie."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.backbones.added_tokens import add_tokens
from llmrec.catalogue import cached
from llmrec.catalogue.cached import catalogue_hash, load_catalogue
from llmrec.catalogue.item_tokens import ItemTokens
from llmrec.catalogue.items import Items
from llmrec.catalogue.trie import Trie
from tests.catalogue.vocabularies import characters

END = "### Response:\n"
ITEMS = Items(ids=list("abc"), titles=["Go", "Gomoku", "Chess"])


def files(cache: Path) -> int:
    return len(list(cache.rglob("*.safetensors")))


def test_the_cached_catalogue_is_used_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = characters(merges=[("\n", '"')])
    titles, trie, path = load_catalogue(tokenizer, ITEMS, END, 0, tmp_path)
    monkeypatch.setattr(cached, "tokenize_titles", lambda *_: pytest.fail("tokenized again"))
    titles_again, trie_again, path_again = load_catalogue(tokenizer, ITEMS, END, 0, tmp_path)
    assert titles_again.tokens.tolist() == titles.tokens.tolist()
    assert titles_again.offsets.tolist() == titles.offsets.tolist()
    assert titles_again.prompt_overlap == titles.prompt_overlap == 1
    assert path_again.tolist() == path.tolist()
    for field in fields(Trie):
        assert torch.equal(getattr(trie_again, field.name), getattr(trie, field.name))


def test_another_tokenizer_has_a_file_of_its_own(tmp_path: Path) -> None:
    for tokenizer in (characters(), characters(merges=[("C", "h")]), characters()):
        load_catalogue(tokenizer, ITEMS, END, 0, tmp_path)
    assert files(tmp_path) == 2


def test_another_catalogue_prompt_or_end_has_a_file_of_its_own(tmp_path: Path) -> None:
    tokenizer = characters()
    load_catalogue(tokenizer, ITEMS, END, 0, tmp_path)
    load_catalogue(tokenizer, Items(ids=list("abc"), titles=["Go", "Chess", "Gomoku"]), END, 0, tmp_path)
    load_catalogue(tokenizer, ITEMS, "Answer: ", 0, tmp_path)
    load_catalogue(tokenizer, ITEMS, END, 1, tmp_path)
    assert files(tmp_path) == 4


def test_the_catalogues_hash_covers_distinct_titles_and_nothing_else() -> None:
    repeated = Items(ids=["x", "y", "z", "w"], titles=["Go", "Gomoku", "Go", "Chess"])
    assert catalogue_hash(repeated) == catalogue_hash(ITEMS)
    # The concatenated titles are equal, but their boundaries differ.
    assert catalogue_hash(Items(["a", "b"], ["Go", "Gomoku"])) != catalogue_hash(Items(["a", "b"], ["GoG", "omoku"]))


def test_a_lossy_tokenizer_makes_two_titles_one_leaf(tmp_path: Path) -> None:
    items = Items(ids=list("abc"), titles=["Chess", "Café", "Cafè"])
    titles, trie, _ = load_catalogue(characters(), items, END, 0, tmp_path)
    assert titles.of(1).tolist() == titles.of(2).tolist()
    assert trie.leaf_title[trie.title_leaf].tolist() == [0, 1, 1]


def test_the_trie_of_item_tokens_leads_to_titles(tmp_path: Path) -> None:
    sequences = [("<a_0>", "<b_1>"), ("<a_1>",), ("<a_0>",)]
    tokens = ItemTokens(sequences, ["<a_0>", "<a_1>", "<b_1>"])
    items = Items(ids=list("abcd"), titles=["Go", "Chess", "Go", "Gomoku"], tokens=tokens)
    tokenizer = characters()
    first, second, last = add_tokens(tokenizer, tokens)
    titles, trie, _ = load_catalogue(tokenizer, items, END, 0, tmp_path)
    assert [titles.of(title).tolist() for title in range(3)] == [[first, last, 0], [second, 0], [first, 0]]
    assert titles.prompt_overlap == 0
    # "Gomoku" is a prefix of "Go", and ends where the end token is chosen.
    for title in range(3):
        assert trie.leaf_title[trie.leaf_low[trie.walk(titles.of(title))]] == title
    node = trie.walk(np.array([first]))
    low, high = trie.first_edge[node], trie.first_edge[node + 1]
    assert trie.edge_token[low:high].tolist() == [0, last]
    assert catalogue_hash(items) == catalogue_hash(replace(items, tokens=None))


def test_other_item_tokens_are_not_read_from_the_cache(tmp_path: Path) -> None:
    found = []
    for sequences in ([("<a>",), ("<b>",)], [("<b>",), ("<a>",)]):
        tokens = ItemTokens(sequences, ["<a>", "<b>"])
        tokenizer = characters()
        add_tokens(tokenizer, tokens)
        items = Items(ids=["a", "b"], titles=["Go", "Chess"], tokens=tokens)
        found.append(load_catalogue(tokenizer, items, END, 0, tmp_path)[0].of(0).tolist())
    assert found[0] != found[1]
