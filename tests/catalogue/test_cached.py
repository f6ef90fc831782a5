"""The disk cache of title tokens and trie."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from llmrec.catalogue import cached
from llmrec.catalogue.cached import catalogue_hash, load_catalogue
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
    assert titles_again.moved == titles.moved == 1
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
