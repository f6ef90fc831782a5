"""Completion of titles and similar titles of a catalogue."""

import pytest

from llmrec.serve import titles
from llmrec.serve.titles import TitleIndex

INDEX = TitleIndex(["Super Mario", "Mario Kart 8", "Smario", "Mario Kart", "Straße (PC)", "Mario Kart"])


def test_titles_that_begin_with_the_text_come_first_then_words_then_parts() -> None:
    assert INDEX.complete("mario", 10) == ["Mario Kart", "Mario Kart 8", "Super Mario", "Smario"]
    assert INDEX.complete(" MARIO k", 1) == ["Mario Kart"]
    assert INDEX.complete("STRASSE (", 3) == ["Straße (PC)"]
    assert INDEX.complete("zelda", 3) == []


def test_similar_titles_are_found_for_an_unknown_one() -> None:
    assert INDEX.near("Mario Cart 8", 1) == ["Mario Kart 8"]
    assert INDEX.near("Elden Ring") == []


def test_of_a_large_catalogue_titles_with_common_words_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(titles, "COMPARED", 2)
    assert INDEX.near("Super Maria", 1) == ["Super Mario"]
    assert INDEX.near("Suber Nario", 1) == []
