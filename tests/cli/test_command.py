"""Arguments as people type them: flags anywhere, paths below the home folder; output in any locale."""

import io
import sys
from pathlib import Path

import pytest

from llmrec.command import expand_home, flags_last, print_any_text
from tests.cli.commands import DEBUG, Workplace


def test_flags_go_behind_the_overrides_with_their_values() -> None:
    arguments = ["a=1", "--config-dir", "mine", "-m", "b=2", "--cfg=job", "~c", "-cn", "other", "d=3"]
    assert flags_last(arguments) == [
        "a=1", "b=2", "~c", "d=3", "--config-dir", "mine", "-m", "--cfg=job", "-cn", "other",
    ]  # fmt: skip
    assert flags_last(flags_last(arguments)) == flags_last(arguments)


def test_home_is_expanded_at_the_beginning_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = [
        "backbone.path=~/x",
        "path='~/a b'",
        "run=~",
        '+a.b="~/x"',
        "~objective",
        "history=[~/x]",
        "a=x~/y",
        "a=~b",
    ]
    assert expand_home(given) == [
        "backbone.path=/home/me/x", "path='/home/me/a b'", "run=/home/me", '+a.b="/home/me/x"', *given[4:],
    ]  # fmt: skip


def test_text_that_the_locale_lacks_is_printed_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    print_any_text()
    print("Pokémon", flush=True)
    assert printed.getvalue() == b"Pok\\xe9mon\n"


@pytest.mark.slow
def test_a_run_with_a_flag_between_overrides_in_an_ascii_locale(place: Workplace) -> None:
    mine = place.root / "mine" / "dataset"
    mine.mkdir(parents=True)
    (mine / "shop.yaml").write_text("defaults: [games, _self_]\nname: shop\n", encoding="utf-8")
    ascii_only = Workplace(place.root, place.cache, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    done = ascii_only.typed(
        "llmrec.run", "dataset=shop", "--config-dir", "mine", *DEBUG, "logger=csv", "backbone=hf",
        "backbone.path='~/absent/Pokémon'",
    )  # fmt: skip
    assert done.status == 2, done.output
    home = Path.home()
    expected = f"llmrec: backbone.path={home}/absent/Pok\\xe9mon: {home}/absent/Pok\\xe9mon is no folder"
    assert done.last_line().startswith(expected), done.output
