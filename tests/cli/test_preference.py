"""Preference objectives as commands: their stages are found or run first, once for a whole sweep."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.conftest import SHORT
from tests.cli.test_run import written


def test_a_sweep_trains_sft_and_the_oracle_once(swept: tuple[Workplace, Done]) -> None:
    place, done = swept
    assert done.status == 0, done.output
    assert "[0/4] " in done.output
    (sft,), (sasrec,) = runs(place, "tiny/sft"), runs(place, "baseline/sasrec")
    names = {"dpo-uniform": {"start": sft}, "rosepo-sasrec-self_hard": {"start": sft, "oracle": sasrec}}
    for name, stages in names.items():
        (run,) = runs(place, f"tiny/{name}")
        assert training(run)["stages"] == {stage: str(folder) for stage, folder in stages.items()}


@pytest.mark.slow
def test_another_sampler_finds_the_stages(swept: tuple[Workplace, Done]) -> None:
    place, _ = swept
    stages = [*runs(place, "tiny/sft"), *runs(place, "baseline/sasrec")]
    before = [written(stage) for stage in stages]
    arguments = ("objective=rosepo", "objective/rejected=semantic", "dataset.reference={relevance: tiny}")
    done = place.run("llmrec.run", *SHORT, *arguments)
    assert done.status == 0, done.output
    assert "first its stage: " not in done.output
    assert [written(stage) for stage in stages] == before


def test_the_record_says_what_the_oracle_said(swept: tuple[Workplace, Done]) -> None:
    (run,) = runs(swept[0], "tiny/rosepo-sasrec-self_hard")
    objective = training(run)["objective"]
    assert objective["smoothing"]["pairs"] == objective["rejected"]["titles"] == 160
    assert 0 <= objective["smoothing"]["share_at_cap"] <= 1
    assert sum(objective["smoothing"]["histogram"]["counts"]) <= 160
    logged = (run / "curves.csv").read_text()
    assert all(f",train/{name}," in logged for name in ("margin", "preferred", "loss"))


def test_the_steps_are_smaller_than_those_of_sft(swept: tuple[Workplace, Done]) -> None:
    highest = {name: max(learning_rates(runs(swept[0], f"tiny/{name}")[0])) for name in ("sft", "dpo-uniform")}
    assert highest["dpo-uniform"] == pytest.approx(0.1 * highest["sft"])


def test_an_oracle_that_cannot_be_fitted_leaves_the_finished_stage_alone(swept: tuple[Workplace, Done]) -> None:
    place, _ = swept
    (sft,) = runs(place, "tiny/sft")
    before = written(sft)
    failed = place.run(
        "llmrec.run", *SHORT, "objective=rosepo", 'stage.oracle=["baseline=sasrec","baseline.patience=0"]'
    )
    assert failed.status == 2
    assert "baseline.patience=0" in failed.output
    assert "llmrec: the stage failed, so the run cannot start" in failed.output
    assert written(sft) == before


@pytest.mark.parametrize(
    ("experiment", "says"),
    [
        (
            "defaults: [override /objective: dpo]\nobjective: {scores: trie}",
            "the experiment would change its objective",
        ),
        ("defaults: [override /objective: dpo, override /objective/rejected: popularity]", "objective/rejected"),
        ("stage: {start: [objective=sft]}", "the experiment would change its stage"),
    ],
)
def test_an_experiment_that_would_reach_into_the_stage_is_refused(experiment: str, says: str, place: Workplace) -> None:
    folder = place.root / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(f"# @package _global_\n{experiment}\n")
    done = place.run("llmrec.run", "--config-dir", str(folder.parent), "experiment=own", *SHORT)
    assert done.status == 2, done.output
    assert done.output.startswith("llmrec: the stage start of this run cannot be composed")
    assert says in done.output
    assert not place.runs.exists()


@pytest.mark.slow
def test_rounds_are_trained_once_for_a_sweep_and_found_by_later_rounds(place: Workplace) -> None:
    sweep = place.run("llmrec.run", "-m", "objective=sprec", "stage.rounds=1,2", "dataset=games", *SHORT)
    assert sweep.status == 0, sweep.output
    assert "[5/5] " in sweep.output
    rounds = [*runs(place, "tiny/sft"), *runs(place, "tiny/sprec_sft"), *runs(place, "tiny/sprec-self_greedy")]
    before = [written(run) for run in rounds]
    third = place.run("llmrec.run", "objective=sprec", "stage.rounds=3", "dataset=games", *SHORT)
    assert third.status == 0, third.output
    # The SFT of round 3; round 2 was there.
    assert third.output.count("first its stage: ") == 1
    assert [written(run) for run in rounds] == before
    assert training(third.run())["stages"]["start"] in map(str, runs(place, "tiny/sprec_sft"))


def test_an_experiment_may_choose_the_objective(swept: tuple[Workplace, Done]) -> None:
    place, _ = swept
    folder = place.root / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("# @package _global_\ndefaults: [override /objective: dpo]\n")
    done = place.run("llmrec.run", "--config-dir", str(folder.parent), "experiment=own", *SHORT)
    assert "done already" in done.output, done.output


def runs(place: Workplace, names: str) -> list[Path]:
    """The trained runs of a backbone and an objective, or of a baseline."""
    folder = place.runs / "games-sim" / "next_item" / names
    return sorted(file.parent for file in folder.glob("*/training.json"))


def training(run: Path) -> dict:
    """What training.json says."""
    return json.loads((run / "training.json").read_text())


def learning_rates(run: Path) -> list[float]:
    """Those of every step."""
    lines = (run / "curves.csv").read_text().splitlines()
    return [float(line.split(",")[2]) for line in lines if ",train/learning_rate," in line]
