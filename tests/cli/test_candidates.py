"""Task candidates as commands: a language model and a baseline rank the same candidates, and what the record has."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.conftest import once
from tests.training.small import NARROW

ROWS = (
    "task=candidates", "dataset=games", *NARROW, "backbone.max_length=512", "dataset.train_samples=32",
    "trainer.batch_size=16", "evaluation.users=15",
)  # fmt: skip


@pytest.fixture(scope="module")
def games(shared: Path) -> Workplace:
    """Where the runs lie, with a cache of their own: they have narrower backbones."""
    place = Workplace(shared / "candidates", shared / "candidates" / "cache")
    place.root.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="module")
def sft(shared: Path, games: Workplace) -> Done:
    """An SFT run that also answers without constraints."""
    return once(
        shared / "candidates.pickle", lambda: games.train("objective=sft", *ROWS, "evaluation.unconstrained=true")
    )


def test_sft_ranks_candidates_and_answers(sft: Done, games: Workplace) -> None:
    assert sft.run().parent == games.runs / "games-sim" / "candidates" / "tiny" / "sft"
    assert "  lists of 20 candidates (19 sampled), relevance by next item: train " in sft.output
    for split, measured in splits(sft).items():
        ranking = read(sft, "ranking", split)
        assert measured["candidates"] == 20
        assert all(len(set(titles)) == 20 for titles in ranking["titles"])
        first = [titles[0] == target for titles, target in zip(ranking["titles"], ranking["target_title"], strict=True)]
        assert measured["by_title"]["hr@1"] == sum(first) / 15
        assert measured["random_order"]["hr@1"] == pytest.approx(0.05)
        answers = read(sft, "unconstrained", split)["answer"]
        assert measured["unconstrained"]["valid_ratio"] == sum(answer is not None for answer in answers) / 15
        (line,) = [words for words in map(str.split, sft.output.splitlines()) if words[:2] == [name_of(split), "model"]]
        assert line[4] == f"{measured['by_title']['hr@1']:.4f}"


def test_a_baseline_ranks_the_same_candidates(sft: Done, games: Workplace) -> None:
    done = games.train("baseline=popularity", *ROWS)
    for split, measured in splits(done).items():
        ours, theirs = read(done, "ranking", split), read(sft, "ranking", split)
        assert [sorted(titles) for titles in ours["titles"]] == [sorted(titles) for titles in theirs["titles"]]
        assert ours["user"] == theirs["user"]
        assert measured["by_title"] == measured["popularity_baseline"]["by_title"]
        assert measured["popularity_baseline"] == splits(sft)[split]["popularity_baseline"]
        assert measured["random_order"] == splits(sft)[split]["random_order"]


@pytest.fixture(scope="module")
def ten(games: Workplace) -> Done:
    """A baseline that ranks ten candidates."""
    return games.train("baseline=random", *ROWS, "task.candidates=10", "evaluation.unconstrained=true")


def test_another_number_of_candidates_is_another_protocol(games: Workplace, sft: Done, ten: Done) -> None:
    twenty = games.train("baseline=random", *ROWS, "evaluation.unconstrained=true")
    protocols = [splits(done)["test"]["protocol"] for done in (twenty, ten, sft)]
    assert protocols[0] == protocols[2] != protocols[1]
    assert splits(ten)["test"]["random_order"]["hr@1"] == pytest.approx(0.1)


@pytest.mark.slow
def test_a_report_mixes_neither_tasks_nor_numbers_of_candidates(sft: Done, ten: Done, games: Workplace) -> None:
    next_item = games.train("baseline=random", "dataset=games", *NARROW, "evaluation.users=15")
    runs = ",".join(str(done.run()) for done in (sft, ten, next_item))
    done = games.run("llmrec.report", f"run=[{runs}]", "out=report")
    assert done.status == 0, done.output
    text = (games.root / "report" / "report.md").read_text(encoding="utf-8")
    assert "3 tables, because the runs were measured on different sets, splits or test rows." in text


@pytest.mark.parametrize("command", [("llmrec.recommend", 'history=["A"]'), ("llmrec.diagnose",)])
def test_what_needs_no_candidates_refuses_the_run(command: tuple[str, ...], sft: Done, games: Workplace) -> None:
    module, *arguments = command
    refused = games.run(module, f"run={sft.run()}", *arguments)
    assert refused.status == 2
    assert f"is of task=candidates, which {module.removeprefix('llmrec.')} does not support: " in refused.output


def splits(done: Done) -> dict[str, Any]:
    """The record's metrics by split."""
    found: dict[str, Any] = json.loads((done.record() / "metrics.json").read_text())["splits"]
    return found


def read(done: Done, part: str, split: str) -> dict[str, list[Any]]:
    """The columns of a table of rankings."""
    table = pq.read_table(done.record() / f"{part}.parquet", filters=[("split", "=", split)])
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns


def name_of(split: str) -> str:
    return {"valid": "validation", "test": "test"}[split]
