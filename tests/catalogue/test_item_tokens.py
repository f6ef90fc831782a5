"""Token sequences of items, from a file in the layout that semantic-ID projects publish."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from llmrec.catalogue.item_tokens import ItemTokens, read_item_tokens
from llmrec.catalogue.items import Items
from llmrec.errors import InputError

ITEMS = Items(ids=["7", "8", "9"], titles=["Doom", "Anno", "Braid"])
TOKENS = {"7": ["<a_2>", "<b_0>"], "8": ["<a_10>", "<b_0>"], "9": ["<a_2>", "<b_1>"]}


def written(folder: Path, content: Any) -> Path:
    path = folder / "ids.index.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(folder: Path, content: Any, items: Items = ITEMS) -> ItemTokens:
    return read_item_tokens(written(folder, content), items)


def test_each_title_has_the_tokens_of_its_item_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, dict(reversed(TOKENS.items())))
    assert found.sequences == [("<a_2>", "<b_0>"), ("<a_10>", "<b_0>"), ("<a_2>", "<b_1>")]


def test_the_vocabulary_is_each_token_once_in_the_order_of_text(tmp_path: Path) -> None:
    assert read(tmp_path, TOKENS).vocabulary == ["<a_10>", "<a_2>", "<b_0>", "<b_1>"]


def test_a_shared_title_has_the_tokens_of_its_first_item_in_the_catalogue(tmp_path: Path) -> None:
    items = Items(ids=["9", "7", "8"], titles=["Doom", "Anno", "Doom"])
    found = read(tmp_path, TOKENS, items)
    assert found.sequences == [("<a_2>", "<b_1>"), ("<a_2>", "<b_0>")]
    # Item 8 is represented by item 9, so its own tokens are no part of the vocabulary.
    assert found.vocabulary == ["<a_2>", "<b_0>", "<b_1>"]


def test_items_of_one_title_may_have_equal_tokens(tmp_path: Path) -> None:
    items = Items(ids=["7", "8"], titles=["Doom", "Doom"])
    assert read(tmp_path, {"7": ["<a_1>"], "8": ["<a_1>"]}, items).sequences == [("<a_1>",)]


def test_a_sequence_may_be_a_prefix_of_another(tmp_path: Path) -> None:
    found = read(tmp_path, TOKENS | {"9": ["<a_2>", "<b_0>", "<c_0>"]})
    assert found.sequences[0] == found.sequences[2][:2]


def test_tokens_need_no_angle_brackets(tmp_path: Path) -> None:
    assert read(tmp_path, TOKENS | {"9": ["item 9", "é'"]}).sequences[2] == ("item 9", "é'")


def test_items_that_the_catalogue_does_not_have_are_ignored_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found = read(tmp_path, TOKENS | {"10": ["<a_3>"], "11": ["<a_2>", "<b_0>"]})
    assert found == read(tmp_path, TOKENS)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/ids.index.json: 2 items are not in the catalogue and are ignored"
    ]


def test_items_that_the_file_lacks_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"index\.json: 2 of the 3 items of the catalogue are missing, first '8'\. Add"
    ):
        read(tmp_path, {"7": ["<a_2>"]})


def test_two_titles_with_the_same_tokens_are_refused(tmp_path: Path) -> None:
    message = (
        r"index\.json: the items '7' \('Doom'\) and '9' \('Braid'\) have the same tokens <a_2><b_0>, but different "
        r"titles\. Add a token to one of them"
    )
    with pytest.raises(InputError, match=message):
        read(tmp_path, TOKENS | {"9": TOKENS["7"]})


def test_two_titles_whose_tokens_read_the_same_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have the same tokens abc, but different"):
        read(tmp_path, TOKENS | {"7": ["ab", "c"], "9": ["a", "bc"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"7": ["<a_1>"],\n "8": }', r"index\.json, row 2: not valid JSON \(Expecting value\)\. Expected an object"),
        ([["<a_1>"]], r"index\.json: not a JSON object\. Expected an object of item id -> list of tokens"),
        ('{"7": ["<a_1>"], "7": ["<a_2>"]}', r"item '7': listed twice\. Remove one"),
        (TOKENS | {"8": "<a_1>"}, r"item '8': expected a list of at least one token, .*, got '<a_1>'\. Correct"),
        (TOKENS | {"8": []}, r"item '8': expected a list of at least one token, .*, got \[\]"),
        (TOKENS | {"10": None}, r"item '10': expected a list .*, got None"),
        (TOKENS | {"8": ["<a_1>", 3]}, r"item '8': the token 3 cannot be used"),
        (TOKENS | {"8": ["<a_1>", ""]}, r"item '8': the token '' cannot be used"),
        (TOKENS | {"8": ["<a_1>", " "]}, r"item '8': the token ' ' cannot be used"),
        (TOKENS | {"8": ["<a\n1>"]}, r"item '8': the token '<a\\n1>' cannot be used. Give a printable text"),
        (TOKENS | {"8": ["<a\u20281>"]}, r"item '8': the token '<a\\u20281>' cannot be used"),
        (TOKENS | {"8": ['"a"']}, r"item '8': the token '\"a\"' cannot be used"),
        (TOKENS | {"8": ["a\ud800"]}, r"item '8': the token 'a\\ud800' cannot be used"),
    ],
)
def test_what_is_not_in_the_layout_is_named(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.index\.json cannot be read: No such file or directory\. Give"):
        read_item_tokens(tmp_path / "absent.index.json", ITEMS)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "ids.index.json").write_bytes('{"7": ["é"]}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"index\.json is not UTF-8 .*Save the file as UTF-8"):
        read_item_tokens(tmp_path / "ids.index.json", ITEMS)
