"""Sweeps as users type them: stages first, what is done stays, what fails is named, an end at any moment is no harm."""

import dataclasses
import functools
import json
from pathlib import Path

import pytest

from tests.cli.commands import DEBUG, PAUSE_BEFORE_RENAMING, Done, Workplace
from tests.cli.test_resume import assert_same
from tests.cli.trees import Tree, needs_proc

pytestmark = needs_proc

SWEEP = ("llmrec.run", "-m", "dataset=games", *DEBUG, "evaluation.users=5", "logger=csv", "launcher.jobs=2")
GOOD = (*SWEEP, "objective=dpo,sft", "trainer.learning_rate=1e-3")


@pytest.fixture(scope="module")
def mixed(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, Done]:
    """A sweep half of which cannot be trained, with a learning rate by which the loss overflows."""
    place = Workplace(tmp_path_factory.mktemp("mixed"), trained[0].cache)
    return place, place.run(*SWEEP, "objective=dpo,sft", "trainer.learning_rate=1e-3,1e+30")


def run(place: Workplace, who: str) -> Path:
    """The one finished run of an objective."""
    (found,) = (place.runs / "games-sim" / "next_item" / "tiny").glob(f"{who}/*/training.json")
    return found.parent


def test_stages_run_first_and_once(mixed: tuple[Workplace, Done]) -> None:
    place, done = mixed
    said = [line.partition("] ")[2] for line in done.output.splitlines()]
    names = [f"games-sim-next_item-{who}-42 trainer.learning_rate=" for who in ("sft", "dpo-uniform")]
    sft, dpo = (f"{name}0.001: " for name in names)
    trained, begun = run(place, "sft") / "training.json", run(place, "dpo-uniform") / ".hydra" / "config.yaml"
    assert trained.stat().st_mtime_ns < begun.stat().st_mtime_ns
    assert said.count(f"{dpo}started") == 1
    assert said.count(f"{sft}started") == said.count(f"{names[0]}1e+30: started") == 1
    assert json.loads((run(place, "dpo-uniform") / "training.json").read_text())["stages"] == {
        "start": str(run(place, "sft"))
    }


def test_what_failed_is_named_and_stops_nothing_else(mixed: tuple[Workplace, Done]) -> None:
    place, done = mixed
    assert done.status == 1
    assert "2 of 4 jobs are done; these are not:" in done.output
    assert "skipped: its stage games-sim-next_item-sft-42 trainer.learning_rate=1e+30 failed" in done.output
    (failure,) = (place.runs / "games-sim" / "next_item" / "tiny" / "sft").glob("*/failed.txt")
    command, why = failure.read_text().splitlines()
    assert "trainer.learning_rate=1e+30" in command
    assert why.startswith("llmrec: ")
    assert why.endswith(f"(exit status 2; its output: {failure.with_name('job.log')})")
    assert "Try a smaller trainer.learning_rate" in failure.with_name("job.log").read_text()
    assert "FAILED: llmrec: the " in done.output
    # No traceback: what matters is in the job's log.
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_what_is_done_is_not_run_again(mixed: tuple[Workplace, Done]) -> None:
    place, _ = mixed
    before = (run(place, "sft") / "job.log").stat().st_mtime_ns
    # In an interpreter of its own, to which nothing is known that a test has loaded.
    again = place.typed(*GOOD)
    assert again.status == 0, again.output
    assert "started" not in again.output
    assert again.output.count("was done already") == 2
    assert (run(place, "sft") / "job.log").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_sweep_that_is_ended_anyhow_ends_as_an_uninterrupted_one(
    mixed: tuple[Workplace, Done], tmp_path: Path
) -> None:
    whole = mixed[0]
    place = Workplace(tmp_path, whole.cache)
    sft, dpo = runs = [run(whole, who).relative_to(whole.runs) for who in ("sft", "dpo-uniform")]
    in_training, in_evaluation, writing = "checkpoints/last.ckpt", "training.json", "rankings/*/.ranking.parquet.*"
    Tree(place, *GOOD).when(functools.partial(has, place.runs / sft, in_training)).kill_alone()
    Tree(place, *GOOD).when(functools.partial(has, place.runs / sft, in_evaluation)).kill()
    paused = dataclasses.replace(place, variables={PAUSE_BEFORE_RENAMING: str(place.runs / dpo / writing)})
    Tree(paused, *GOOD).when(functools.partial(has, place.runs / dpo, writing)).kill()
    # Two at once on one folder share what is left.
    both = [Tree(place, *GOOD) for _ in range(2)]
    ended = [tree.wait() for tree in both]
    assert [done.status for done in ended] == [0, 0], ended
    for folder in runs:
        assert_same(*(Done(0, f"record: {next((root.runs / folder).glob('rankings/*'))}") for root in (place, whole)))
    # Each job was run by one of them; the other waited, and found it done.
    said = "".join(done.output for done in ended)
    assert said.count(": started\n") == said.count(": done in ")
    assert all(said.count(f"{who}-42: done in ") <= 1 for who in ("sft", "dpo-uniform"))


def has(folder: Path, trace: str) -> bool:
    """Whether a run holds a file of that pattern."""
    return bool(list(folder.glob(trace)))


def test_an_interrupted_sweep_takes_its_jobs_with_it(mixed: tuple[Workplace, Done], tmp_path: Path) -> None:
    place = Workplace(tmp_path, mixed[0].cache)
    tree = Tree(place, *GOOD)
    done = tree.when(lambda: bool(list(place.runs.glob("*/*/*/*/*/curves.csv")))).interrupt()
    assert done.status == 130
    assert "the same command goes on from here" in done.output
    assert "Traceback" not in done.output


def test_a_job_whose_run_is_not_the_planned_one_is_refused(mixed: tuple[Workplace, Done], tmp_path: Path) -> None:
    # As where code was changed since the sweep began.
    place = Workplace(tmp_path, mixed[0].cache, {"LLMREC_PLANNED_RUN": "runs/games-sim/next_item/tiny/sft/0"})
    done = place.run("llmrec.run", *DEBUG, "objective=sft", "dataset=games")
    assert done.status == 2
    assert "have changed since the sweep began; start the sweep again" in done.output
    assert not place.runs.exists()
