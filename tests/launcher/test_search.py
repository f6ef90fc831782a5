"""Searches as users type them: validation alone says which trial is best, and test is decoded once, at the end."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.commands import DEBUG, Done, Workplace

pytest.importorskip("optuna")

RANGE = "objective.temperature=interval(1,10)"
SEARCH = (
    "llmrec.run", "-m", "experiment=search", "objective=msl", "dataset=games", *DEBUG, "evaluation.users=40",
    "logger=csv", "launcher.jobs=2", "trainer.learning_rate=1e-3", RANGE, "search.trials=3", "search.parallel_trials=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def searched(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Done]:
    """A search of three trials."""
    place = Workplace(tmp_path_factory.mktemp("search"), trained[0].cache)
    return place, place.run(*SEARCH)


def records(place: Workplace) -> list[Path]:
    """The evaluations of all trials."""
    return [file.parent for file in place.runs.rglob("metrics.json")]


@pytest.mark.slow
def test_trials_never_see_test(searched: tuple[Workplace, Done]) -> None:
    place, done = searched
    assert done.status == 0, done.output
    assert len(records(place)) == 3
    for record in records(place):
        assert list(json.loads((record / "metrics.json").read_text())["splits"]) == ["valid"]
        assert not (record / "users_test.parquet").exists()


@pytest.mark.slow
def test_the_best_on_validation_is_named(searched: tuple[Workplace, Done]) -> None:
    place, done = searched
    listed = re.findall(r"^([* ]) (0\.\d{4})  (objective\.temperature=\S+)$", done.output, re.MULTILINE)
    scores = {}
    for record in records(place):
        found = json.loads((record / "metrics.json").read_text())["splits"]["valid"]["by_title"]["ndcg@10"]
        typed = (record.parents[1] / ".hydra" / "overrides.yaml").read_text()
        scores[re.findall(r"objective\.temperature=\S+", typed)[0]] = f"{found:.4f}"
    assert {drawn: score for _, score, drawn in listed} == scores
    (best,) = [score for mark, score, _ in listed if mark == "*"]
    assert best == max(scores.values())


@pytest.mark.slow
def test_the_same_search_again_trains_nothing(searched: tuple[Workplace, Done]) -> None:
    place, done = searched
    again = place.run(*SEARCH)
    assert again.status == 0, again.output
    assert ": started" not in again.output
    assert again.output[again.output.index("3 trials") :] == done.output[done.output.index("3 trials") :]


@pytest.mark.slow
def test_the_command_at_the_end_measures_test_without_training(searched: tuple[Workplace, Done]) -> None:
    place, done = searched
    python, _, module, *arguments = shlex.split(done.last_line())
    assert python == "python"
    before = {file: file.stat().st_mtime_ns for file in place.runs.rglob("training.json")}
    measured = place.run(module, *arguments)
    assert measured.status == 0, measured.output
    assert {file: file.stat().st_mtime_ns for file in place.runs.rglob("training.json")} == before
    assert list(json.loads((measured.record() / "metrics.json").read_text())["splits"]) == ["valid", "test"]


@pytest.mark.slow
def test_the_weight_of_an_assistant_is_searched_without_training_again(
    trained: tuple[Workplace, Done], tmp_path: Path
) -> None:
    place = Workplace(tmp_path, trained[0].cache)
    typed = [part for part in SEARCH if part != RANGE]
    typed += ["decoding=d3", "baseline@decoding.assistant=popularity", "decoding.alpha=interval(0.1,0.9)"]
    done = place.run(*typed)
    assert done.status == 0, done.output
    assert len(re.findall(r"^[* ] 0\.\d{4}  decoding\.alpha=0\.\d+$", done.output, re.MULTILINE)) == 3
    trainings = sorted(file.parents[1].name for file in place.runs.rglob("training.json"))
    assert trainings == ["msl", "popularity"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluation.splits=[valid,test]"], "a search decodes validation alone"),
        (["search.trials=0"], "search.trials=0: give a whole number of at least 1"),
        (["objective.temperature=2"], "the search space is empty: give a range"),
        (["seed=1,2,3"], "seed is no hyperparameter, so a search takes one value of it"),
        (["evaluation.splits=[valid],[valid,test]"], "evaluation.splits is no hyperparameter"),
        (["decoding.beams=5,10"], "decoding.beams is no hyperparameter"),
    ],
    ids=["test", "trials", "space", "seeds", "splits", "beams"],
)
def test_what_cannot_be_searched_is_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    typed = [part for part in SEARCH if part.split("=")[0] not in {text.split("=")[0] for text in arguments}]
    done = Workplace(tmp_path, tmp_path / "cache").run(*typed, *arguments)
    assert done.status == 2
    assert says in done.output
    assert "Traceback" not in done.output
