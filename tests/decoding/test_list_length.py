"""The number of titles that commands ask decoders for."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from llmrec.decoding.decoder import CatalogueDecoder, build_decoder
from llmrec.decoding.list_length import lengthen_lists
from tests.datasets.layouts import CONF


@pytest.mark.parametrize(("option", "k", "length"), [("trie", 25, 25), ("exact", 25, 25), ("vocab", 3, 10)])
def test_lists_are_as_long_as_asked_for_and_never_shorter_than_set(option: str, k: int, length: int) -> None:
    decoding: Any = OmegaConf.load(CONF / "decoding" / f"{option}.yaml")
    lengthen_lists(decoding, k)
    decoder = build_decoder(decoding, "next_item")
    assert isinstance(decoder, CatalogueDecoder)
    assert decoder.list_length == length


def test_decoder_without_such_a_setting_stays_as_it_is() -> None:
    decoding = OmegaConf.create({"_target_": "mine.Mine", "width": 7})
    lengthen_lists(decoding, 25)
    assert decoding == {"_target_": "mine.Mine", "width": 7}
