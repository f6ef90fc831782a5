"""A trained run, decoded and measured another way: nothing is trained, nothing is lost."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.test_run import written


@pytest.fixture(scope="module")
def with_vocab_scores(trained: tuple[Workplace, Done]) -> Done:
    """The trained run evaluated with scores over the whole vocabulary, as a user types it."""
    place, done = trained
    evaluated = place.run("llmrec.evaluate", f"run={done.run()}", "decoding.scores=vocab", "trainer.progress=false")
    assert evaluated.status == 0, evaluated.output
    return evaluated


def test_other_scores_make_a_second_evaluation_beside_the_first(
    trained: tuple[Workplace, Done], with_vocab_scores: Done
) -> None:
    _, done = trained
    assert with_vocab_scores.record() != done.record()
    assert with_vocab_scores.run() == done.run()
    assert json.loads((with_vocab_scores.record() / "metrics.json").read_text())["decoding"]["scores"] == "vocab"
    assert json.loads((done.record() / "metrics.json").read_text())["decoding"]["scores"] == "trie"


def test_evaluation_trains_nothing(trained: tuple[Workplace, Done], with_vocab_scores: Done) -> None:
    run = trained[1].run()
    # The checksums are written last.
    ends = (run / "checksums.json").stat().st_mtime_ns
    assert all(time <= ends for name, time in written(run).items() if not name.startswith("rankings/"))
    assert all((with_vocab_scores.record() / name).stat().st_mtime_ns > ends for name in ("metrics.json",))


def test_evaluation_measures_the_same_users(trained: tuple[Workplace, Done], with_vocab_scores: Done) -> None:
    first, second = (
        pq.read_table(folder / "ranking.parquet").select(["split", "row", "user"]).to_pylist()
        for folder in (trained[1].record(), with_vocab_scores.record())
    )
    assert first == second


def test_evaluation_that_is_there_is_read(trained: tuple[Workplace, Done], with_vocab_scores: Done) -> None:
    place, done = trained
    before = written(done.run())
    again = place.run("llmrec.evaluate", f"run={done.run()}", "decoding.scores=vocab", "trainer.progress=false")
    assert again.record() == with_vocab_scores.record()
    assert written(done.run()) == before


def test_decoding_group_takes_all_settings_of_its_file(trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    evaluated = place.run("llmrec.evaluate", f"run={done.run()}", "decoding=vocab", "evaluation.users=5")
    assert evaluated.status == 0, evaluated.output
    record = json.loads((evaluated.record() / "metrics.json").read_text())
    settings = {"scores": "vocab", "beams": 10, "length_penalty": 1.0, "exclude_history": False}
    assert record["decoding"].items() >= settings.items()
    assert record["splits"]["test"]["rows"] == 5


def test_generation_without_the_trie_is_counted_when_asked_for(trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    asked = ("evaluation.unconstrained=true", "evaluation.users=6", "trainer.progress=false")
    evaluated = place.run("llmrec.evaluate", f"run={done.run()}", *asked)
    assert evaluated.status == 0, evaluated.output
    for split in json.loads((evaluated.record() / "metrics.json").read_text())["splits"].values():
        assert split["unconstrained"]["rows"] == 6
        assert 0 <= split["unconstrained"]["invalid_title_rate"] <= 1
    assert "invalid" in evaluated.output
    unasked = json.loads((done.record() / "metrics.json").read_text())["splits"]
    assert all("unconstrained" not in split for split in unasked.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run={run}", "objective.temperature=2"], "train another with llmrec.run"),
        (
            ["run={run}", "decoding=nonsense"],
            "candidates, d3, exact, grounding, permutation, trie, vocab",
        ),
        (["run={run}", "decoding.nonsense=1"], "nonsense"),
        (["run={run}", "decoding.beams"], "key=value"),
        (["run={run}/eval"], "is not the folder of a run"),
        (["decoding=vocab"], "run=<the folder of a trained run>, or backbone.path=<a model>, is missing"),
    ],
)
def test_what_an_evaluation_cannot_take_is_refused(
    arguments: list[str], says: str, trained: tuple[Workplace, Done]
) -> None:
    place, done = trained
    refused = place.run("llmrec.evaluate", *(argument.format(run=done.run()) for argument in arguments))
    assert refused.status == 2
    assert refused.output.startswith("llmrec: ")
    assert says in refused.output


def test_run_that_is_not_trained_is_refused(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    place, done = trained
    (tmp_path / "config.yaml").write_text((done.run() / "config.yaml").read_text())
    refused = place.run("llmrec.evaluate", f"run={tmp_path}")
    assert refused.status == 2
    assert "is not trained yet" in refused.output


def test_older_run_is_measured_by_what_has_come_since(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    place, done = trained
    older = tmp_path / "msl" / "0123456789abcdef"
    shutil.copytree(done.run(), older, ignore=shutil.ignore_patterns("rankings"))
    config = (older / "config.yaml").read_text()
    for line in ("  reference:\n    relevance: auto\n    encoder: auto\n", "  orders: 5\n", "    ratings: false\n"):
        assert config.count(line) == 1
        config = config.replace(line, "")
    (older / "config.yaml").write_text(config)
    (older / "checksums.json").unlink()
    evaluated = place.run("llmrec.evaluate", f"run={older}", "evaluation.users=10", "trainer.progress=false")
    assert evaluated.status == 0, evaluated.output
    fairness = json.loads((evaluated.record() / "metrics.json").read_text())["splits"]["test"]["fairness"]
    assert {"popularity", "relevance", "gini", "coverage", "top20_relevance_share"} <= fairness.keys()
    assert "MGU@5" in evaluated.output
