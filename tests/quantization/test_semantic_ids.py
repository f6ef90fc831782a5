"""Codes named as tokens, made unique and written as a file."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.catalogue.items import Items
from llmrec.errors import InputError
from llmrec.quantization.semantic_ids import MAX_LEVELS, token_sequences, write_item_tokens


def test_a_code_is_named_by_the_letter_of_its_level() -> None:
    assert token_sequences(np.array([[12, 3, 0], [3, 12, 255]])) == [
        ["<a_12>", "<b_3>", "<c_0>"],
        ["<a_3>", "<b_12>", "<c_255>"],
    ]


def test_only_rows_with_equal_codes_are_numbered_by_a_last_token() -> None:
    assert token_sequences(np.array([[1, 2], [1, 3], [1, 2], [0, 0], [1, 2], [0, 0]])) == [
        ["<a_1>", "<b_2>", "<c_0>"],
        ["<a_1>", "<b_3>"],
        ["<a_1>", "<b_2>", "<c_1>"],
        ["<a_0>", "<b_0>", "<c_0>"],
        ["<a_1>", "<b_2>", "<c_2>"],
        ["<a_0>", "<b_0>", "<c_1>"],
    ]


def test_the_most_levels_leave_a_letter_for_collisions() -> None:
    unique, first, second = token_sequences(np.array([[1] * MAX_LEVELS, [0] * MAX_LEVELS, [0] * MAX_LEVELS]))
    assert (unique[-1], first[-2:], second[-2:]) == ("<y_1>", ["<y_0>", "<z_0>"], ["<y_0>", "<z_1>"])


def test_the_written_file_is_read_back_with_one_sequence_for_the_items_of_a_title(tmp_path: Path) -> None:
    items = Items(ids=["é", 'B"1', "\ud800", "4"], titles=["Doom", "Anno", "Doom", "Braid"])
    sequences = token_sequences(np.array([[0, 1], [0, 1], [2, 0]]))
    write_item_tokens(tmp_path / "ids.index.json", items, sequences)
    found = read_item_tokens(tmp_path / "ids.index.json", items)
    assert [list(sequence) for sequence in found.sequences] == sequences
    assert found.vocabulary == ["<a_0>", "<a_2>", "<b_0>", "<b_1>", "<c_0>", "<c_1>"]
    assert (tmp_path / "ids.index.json").read_text().splitlines()[2:4] == [
        '"B\\"1": ["<a_0>", "<b_1>", "<c_1>"],',
        '"\\ud800": ["<a_0>", "<b_1>", "<c_0>"],',
    ]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file/ids\.index\.json"):
        write_item_tokens(tmp_path / "file/ids.index.json", Items(["1"], ["Doom"]), [["<a_0>"]])
