"""Semantic IDs made by the command, for a simulated set."""

import json
import sys
from pathlib import Path

import pytest

from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.semantic_ids import main
from llmrec.training.open_dataset import read_dataset
from tests.cli.commands import Workplace
from tests.evaluation.test_reference_features import saved_encoder
from tests.training.small import resolved

MODULE = "llmrec.semantic_ids"
DEBUG = ("dataset=games", "scale=debug")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests of this file, so that the reference model is pretrained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(cache: Path, tmp_path: Path) -> Workplace:
    return Workplace(tmp_path, cache)


@pytest.mark.slow
def test_the_command_writes_a_file_that_fits_the_catalogue(place: Workplace) -> None:
    done = place.typed(MODULE, *DEBUG, "out=made/games.index.json")
    assert done.status == 0, done.output
    items = read_dataset(resolved(place.root, "dataset=games")).items
    tokens = read_item_tokens(place.root / "made/games.index.json", items)
    titles = len(items.distinct_titles)
    assert len(set(tokens.sequences)) == titles
    assert {sequence[0][:3] for sequence in tokens.sequences} == {"<a_"}
    assert len({sequence[0] for sequence in tokens.sequences}) == titles // 4
    assert {len(sequence) for sequence in tokens.sequences} <= {3, 4}
    assert "SIMULATED data: games-sim. " in done.output
    assert f"games-sim: {len(items)} items, {titles} titles, embedded by tiny (hidden states)\n" in done.output
    assert f"\n    3  {titles // 4:5d}  0." in done.output
    assert done.output.endswith("written to made/games.index.json\nSIMULATED data (games-sim)\n")


def test_items_with_the_same_title_have_the_same_tokens(place: Workplace) -> None:
    done = place.run(MODULE, *DEBUG, "out=games.index.json")
    assert done.status == 0, done.output
    entries = json.loads((place.root / "games.index.json").read_text())
    items = read_dataset(resolved(place.root, "dataset=games")).items
    assert list(entries) == items.ids
    assert len(items.distinct_titles) < len(items)
    for item, title in zip(items.ids, items.title_of, strict=True):
        assert entries[item] == entries[items.ids[items.titles.index(items.distinct_titles[title])]]


@pytest.mark.slow
def test_a_second_process_makes_the_same_file(place: Workplace) -> None:
    for name in ("one", "two"):
        done = place.run(MODULE, *DEBUG, f"out={name}.index.json")
        assert done.status == 0, done.output
    assert (place.root / "one.index.json").read_bytes() == (place.root / "two.index.json").read_bytes()


def test_few_codes_collide_and_are_told_apart_by_a_last_token(place: Workplace) -> None:
    done = place.run(MODULE, *DEBUG, "out=games.index.json", "levels=2", "codes=2", "seed=1")
    assert done.status == 0, done.output
    entries = json.loads((place.root / "games.index.json").read_text())
    titles = {tuple(tokens) for tokens in entries.values()}
    codes = [tokens[:2] for tokens in titles]
    assert set(codes) <= {(f"<a_{first}>", f"<b_{second}>") for first in (0, 1) for second in (0, 1)}
    largest = max(codes.count(code) for code in set(codes))
    assert f"collisions: {len(titles)} titles share all codes with another; at most {largest} share" in done.output
    assert {tokens[2] for tokens in titles} == {f"<c_{number}>" for number in range(largest)}


@pytest.mark.slow
def test_a_named_encoder_embeds_the_titles(place: Workplace, tmp_path: Path) -> None:
    done = place.run(MODULE, *DEBUG, "out=games.index.json", f"encoder={saved_encoder(tmp_path)}")
    assert done.status == 0, done.output
    assert " titles, embedded by sentences\n" in done.output


def test_a_dataset_of_ones_own_joins_by_its_yaml(place: Workplace) -> None:
    (place.root / "conf/dataset").mkdir(parents=True)
    (place.root / "conf/dataset/arcade.yaml").write_text("defaults: [games@_here_, _self_]\nname: arcade\n")
    done = place.run(MODULE, "--config-dir", "conf", "dataset=arcade", "scale=debug", "out=arcade.index.json")
    assert done.status == 0, done.output
    assert done.last_line() == "SIMULATED data (arcade-sim)"


def test_an_existing_file_is_left_alone(place: Workplace) -> None:
    (place.root / "ids.index.json").write_text("{}")
    done = place.run(MODULE, *DEBUG, "out=ids.index.json")
    assert done.status == 2
    assert done.output == "llmrec: out=ids.index.json exists already: remove it, or give another out=FILE\n"
    assert (place.root / "ids.index.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dataset=games"], "out=<the file to write> is missing"),
        (["levels=0"], "levels=0: give a whole number from 1 to 25"),
        (["levels=26"], "levels=26: give a whole number from 1 to 25"),
        (["codes=0"], "codes=0: give a whole number of at least 1"),
        (["seed=-1"], "seed=-1: give a whole number from 0 to 4294967295"),
        (["seed=one"], "seed=one: give a whole number"),
        (["games"], "'games' is not of the form key=value"),
        (["dataset=absent"], "dataset=absent: there is no such option. Choose one of books, clothing, "),
        (["dataset.absent=1"], "dataset.absent: there is no such setting. Choose one of "),
        (["objective=sft"], "objective=sft: semantic IDs depend only on out, levels, codes, seed, encoder, dataset, "),
        (["dataset.source=real"], "dataset games: no folder "),
        (["dataset.reference=null"], "dataset.reference has no model that embeds titles. Give encoder="),
        (["encoder=package:absent_one"], "dataset.reference.encoder=package:absent_one: the package is not installed"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_used_is_named(
    arguments: list[str],
    message: str,
    place: Workplace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = [] if arguments == ["dataset=games"] else ["out=ids.index.json", "scale=debug"]
    monkeypatch.chdir(place.root)
    monkeypatch.setattr(sys, "argv", [MODULE, *out, *arguments])
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 2
    assert f"llmrec: {message}" in capsys.readouterr().err
    assert not (place.root / "ids.index.json").exists()


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_gives_examples(arguments: tuple[str, ...], place: Workplace) -> None:
    done = place.run(MODULE, *arguments)
    assert done.status == 0
    assert done.output.count("python -m llmrec.semantic_ids dataset=") == 3
