"""A baseline is a run: run, read again, resumed, evaluated another way, asked for titles, as a language model is."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from tests.cli.commands import DEBUG, Done, Workplace
from tests.cli.test_run import written
from tests.tiers import rest_slow

SASREC = ("llmrec.run", "baseline=sasrec", "dataset=games", *DEBUG, "logger=csv", "baseline.max_epochs=8")
CLOCK = ("seconds", "wall_seconds", "provenance")


@pytest.fixture(scope="module")
def fitted(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Done]:
    """A fitted SASRec."""
    place = Workplace(tmp_path_factory.mktemp("baseline"), trained[0].cache)
    done = place.run(*SASREC)
    assert done.status == 0, done.output
    return place, done


def test_its_record_is_that_of_a_model(fitted: tuple[Workplace, Done], trained: tuple[Workplace, Done]) -> None:
    place, done = fitted
    assert done.run().parent == place.runs / "games-sim" / "next_item" / "baseline" / "sasrec"
    own, other = (json.loads((found.record() / "metrics.json").read_text()) for found in (done, trained[1]))
    assert own.keys() == other.keys()
    for split in ("valid", "test"):
        assert own["splits"][split].keys() == other["splits"][split].keys()
        floors = (record["splits"][split]["popularity_baseline"] for record in (own, other))
        assert len({json.dumps(floor) for floor in floors}) == 1
        chosen = [("split", "=", split)]
        mine, theirs = (pq.read_table(found.record() / "rows.parquet", filters=chosen) for found in (done, trained[1]))
        assert mine.schema == theirs.schema
        assert mine["target"].equals(theirs["target"])


def test_the_table_names_it(fitted: tuple[Workplace, Done]) -> None:
    assert any(line.split()[:2] == ["test", "sasrec"] for line in fitted[1].output.splitlines())


def test_training_says_which_rows_it_was_fitted_to(fitted: tuple[Workplace, Done]) -> None:
    found = json.loads((fitted[1].run() / "training.json").read_text())["baseline"]
    assert (found["rows"], found["train_file_is_only_a_sample"], found["refitted"]) == ("full", False, False)
    assert found["fitted_rows"] > 200
    assert "valid/ndcg@10" in (fitted[1].run() / "curves.csv").read_text()


@pytest.mark.slow
def test_leave_one_out_is_named_wherever_the_run_is(tmp_path: Path) -> None:
    place = Workplace(tmp_path, tmp_path / "cache", {"WANDB_MODE": "offline"})
    popularity = ("baseline=popularity", "dataset=games", *DEBUG, "dataset.reference=null", "evaluation.users=20")
    done = place.run("llmrec.run", *popularity, "dataset.split=leave_one_out")
    assert done.status == 0, done.output
    assert done.run().parent == place.runs / "games-leave-one-out-sim/next_item/baseline/popularity"
    for split in json.loads((done.record() / "metrics.json").read_text())["splits"].values():
        assert (split["dataset"], split["split_by"]) == ("games-leave-one-out-sim", "leave_one_out")
    assert json.loads((done.run() / "training.json").read_text())["dataset"]["split_by"] == "leave_one_out"
    leakage = json.loads((done.run() / "leakage.json").read_text())
    assert leakage["train_rows_after_the_first_test_target"]["rows"] > 0
    lines = done.output.splitlines()
    assert lines[0].startswith("SIMULATED data: games-leave-one-out-sim.")
    assert any(line.startswith("  split leave_one_out, not by time: ") for line in lines)
    assert any(line.startswith("games-leave-one-out-sim: split leave_one_out: training rows") for line in lines)
    refused = place.run("llmrec.run", "dataset=movielens_100k", "task=rerank", *popularity[:1], *popularity[2:],
                        "dataset.split=leave_one_out")  # fmt: skip
    assert refused.status == 2
    assert "lists by ratings are made within the periods of a split by time" in refused.last_line()


def test_a_finished_one_is_read(fitted: tuple[Workplace, Done]) -> None:
    place, done = fitted
    before = written(done.run())
    again = place.run(*SASREC, "objective=sft", "adapter=lora")
    assert "done already" in again.output
    assert again.record() == done.record()
    assert written(done.run()) == before


@pytest.mark.parametrize("epoch", rest_slow([1, 4]))
def test_killed_while_fitting_it_ends_as_an_uninterrupted_one(
    epoch: int, fitted: tuple[Workplace, Done], place: Workplace
) -> None:
    whole = fitted[1]
    run = place.runs / whole.run().relative_to(fitted[0].runs)
    curves = run / "curves.csv"
    place.start(*SASREC).kill_when(lambda: curves.exists() and f"\n{epoch},valid/" in curves.read_text())
    assert not (run / "training.json").exists()
    resumed = place.run(*SASREC)
    assert resumed.status == 0, resumed.output
    assert curves.read_text() == (whole.run() / "curves.csv").read_text()
    mine, theirs = (load_file(found.run() / "weights" / "selected.safetensors") for found in (resumed, whole))
    assert mine.keys() == theirs.keys()
    assert all((mine[name] == theirs[name]).all() for name in mine)
    assert facts(resumed.run()) == facts(whole.run())


def test_it_is_evaluated_another_way(fitted: tuple[Workplace, Done]) -> None:
    place, done = fitted
    evaluated = place.run("llmrec.evaluate", f"run={done.run()}", "decoding.exclude_history=true", "evaluation.users=9")
    assert evaluated.status == 0, evaluated.output
    assert evaluated.record() != done.record()
    found = json.loads((evaluated.record() / "metrics.json").read_text())["splits"]["test"]
    assert (found["rows"], found["recommender"]) == (9, "sasrec")
    assert found["hallucination"].get("repeated", 0) == 0


def test_it_recommends_and_leaves_out_what_it_does_not_know(fitted: tuple[Workplace, Done]) -> None:
    place, done = fitted
    ranking = pq.read_table(done.record() / "ranking.parquet", filters=[("split", "=", "test")])
    known = ranking["target_title"][0].as_py()
    history = json.dumps([known, "Nobody knows this title"])
    found = place.run("llmrec.recommend", f"run={done.run()}", f"history={history}", "k=3")
    assert found.status == 0, found.output
    assert "'Nobody knows this title' is not in the catalogue of games-sim" in found.output
    assert "a baseline ignores it" in found.output
    assert [line.split()[0] for line in found.output.splitlines()[-3:]] == ["1", "2", "3"]


def test_it_cannot_be_diagnosed(fitted: tuple[Workplace, Done]) -> None:
    place, done = fitted
    refused = place.run("llmrec.diagnose", f"run={done.run()}")
    assert refused.status == 2
    assert "holds a baseline (sasrec), not a language model" in refused.output


def test_popularity_is_the_floor_of_its_own_record(place: Workplace) -> None:
    done = place.train("baseline=popularity", "dataset=games")
    assert done.run().parent.name == "popularity"
    for measured in json.loads((done.record() / "metrics.json").read_text())["splits"].values():
        floor = measured["popularity_baseline"]
        assert {name: measured[name] for name in floor} == floor
        assert measured["recommender"] == "popularity"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("baseline.rows=half", "llmrec: baseline.rows=half: choose one of full, sample"),
        ("baseline.heads=7", "llmrec: baseline.heads=7: give a divisor of baseline.hidden_size=64"),
    ],
)
def test_settings_that_cannot_be_used_are_named(override: str, says: str, place: Workplace) -> None:
    done = place.run(*SASREC, override)
    assert done.status == 2
    assert says in done.output


def facts(run: Path) -> dict:
    """What training.json says, times and machine aside."""
    found = json.loads((run / "training.json").read_text())
    found["baseline"].pop("seconds")
    return {name: value for name, value in found.items() if name not in CLOCK}
