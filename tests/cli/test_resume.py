"""A kill at any moment, then the same command: it ends with the figures of an uninterrupted run."""

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from llmrec.training.checkpoints import read_checkpoint
from tests.cli.commands import DEBUG, Done, Workplace, ended_by_sigterm
from tests.cli.conftest import SHORT
from tests.cli.test_rerank import ALRO, alro_run, rerank_place
from tests.cli.trees import Tree, needs_proc
from tests.tiers import rest_slow

COMMAND = ("llmrec.run", "objective=msl", "dataset=games", *DEBUG, "logger=csv")
MEASURED_BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")


def after_the_first_checkpoint(run: Path) -> bool:
    """Right after the first epoch has been saved."""
    return (run / "checkpoints" / "last.ckpt").exists()


def in_the_first_epoch(run: Path) -> bool:
    """Before there is a checkpoint: all begins again."""
    return reached(run, 1)


def in_the_second_epoch(run: Path) -> bool:
    """Steps after the checkpoint are lost and made again."""
    return reached(run, 7)


def in_the_evaluation(run: Path) -> bool:
    """After training, before the record is there."""
    return (run / "training.json").exists()


@pytest.mark.parametrize(
    "moment",
    rest_slow([after_the_first_checkpoint, in_the_evaluation, in_the_first_epoch, in_the_second_epoch]),
)
def test_killed_run_ends_as_an_uninterrupted_one(
    moment: Callable[[Path], bool], trained: tuple[Workplace, Done], place: Workplace
) -> None:
    whole = trained[1]
    run = place.runs / whole.run().relative_to(trained[0].runs)
    place.start(*COMMAND).kill_when(lambda: moment(run))
    assert not list(run.glob("rankings/*/metrics.json"))

    resumed = place.run(*COMMAND)
    assert resumed.status == 0, resumed.output
    assert ("resuming from" in resumed.output) == (moment in (after_the_first_checkpoint, in_the_second_epoch))
    assert_same(resumed, whole)


@pytest.mark.slow
def test_killed_gdrt_goes_on_with_the_groups_that_it_had(place: Workplace) -> None:
    command = ("objective=gdrt", "objective.reference=current", "objective.ema=0.5", "dataset=games", *DEBUG)
    away = Workplace(place.root / "killed", place.cache)
    away.root.mkdir()
    whole = place.train(*command)
    run = away.runs / whole.run().relative_to(place.runs)
    away.start("llmrec.run", *command, "logger=csv").kill_when(lambda: after_the_first_checkpoint(run))
    resumed = away.train(*command)
    assert "resuming from" in resumed.output
    assert_same(resumed, whole)
    groups, expected = ((done.run() / "training.json").read_text() for done in (resumed, whole))
    assert json.loads(groups)["objective"] == json.loads(expected)["objective"]


@needs_proc
@pytest.mark.slow
def test_killed_rosepo_goes_on_from_the_reference_that_it_had(swept: tuple[Workplace, Done], tmp_path: Path) -> None:
    command = ("objective=rosepo", "dataset=games", *SHORT)
    away = Workplace(tmp_path, tmp_path / "cache")
    shutil.copytree(swept[0].cache, away.cache, ignore=shutil.ignore_patterns("reference", "self_hard"))
    (record,) = swept[0].runs.glob("*/*/tiny/rosepo-sasrec-self_hard/*/rankings/*")
    whole = Done(0, f"record: {record}")
    run, oracle = (away.runs / "games-sim" / "next_item" / names for names in ("tiny", "baseline/sasrec"))
    # While the oracle is fitted, which ends with the run; the stage that was finished before it stays.
    Tree(away, "llmrec.run", *command).when(lambda: bool(list(oracle.glob("*/curves.csv")))).kill_alone()
    (sft,) = (run / "sft").glob("*/training.json")
    trained = sft.stat().st_mtime_ns
    run = away.runs / whole.run().relative_to(swept[0].runs)
    away.start("llmrec.run", *command).kill_when(lambda: after_the_first_checkpoint(run))
    resumed = away.train(*command)
    assert "resuming from" in resumed.output
    assert_same(resumed, whole)
    assert sft.stat().st_mtime_ns == trained
    assert all(len(list((away.cache / name).iterdir())) == 1 for name in ("reference", "self_hard"))


@needs_proc
def test_an_interrupted_run_takes_its_stage_with_it(place: Workplace) -> None:
    tree = Tree(place, "llmrec.run", "objective=msl", "stage=sft", "dataset=games", *DEBUG, "logger=csv")
    done = tree.when(lambda: bool(list(place.runs.glob("*/*/tiny/sft/*/curves.csv")))).interrupt()
    assert done.status == 130
    assert "the same command goes on from here" in done.output
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_killed_alro_goes_on_with_the_orders_that_it_would_have_drawn(shared: Path, tmp_path: Path) -> None:
    whole, place = alro_run(shared), rerank_place(shared)
    away = Workplace(tmp_path, place.cache)
    run = away.runs / whole.run().relative_to(place.runs)
    command = (*ALRO, *DEBUG, "logger=csv")
    away.start("llmrec.run", *command).kill_when(lambda: after_the_first_checkpoint(run))
    resumed = away.run("llmrec.run", *command)
    assert "resuming from" in resumed.output, resumed.output
    assert_same(resumed, whole)


@pytest.mark.parametrize("by", rest_slow([signal.SIGTERM, signal.SIGUSR1]))
def test_a_terminated_training_goes_on_from_its_step(
    by: signal.Signals, trained: tuple[Workplace, Done], place: Workplace
) -> None:
    whole = trained[1]
    run = place.runs / whole.run().relative_to(trained[0].runs)
    started = place.start(*COMMAND)
    started.kill_when(lambda: in_the_second_epoch(run), by)
    assert ended_by_sigterm(started.wait(), "llmrec.run")
    assert_resumes_from_its_step(place, COMMAND, run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGUSR1])
def test_terminated_ranks_go_on_from_their_step(
    by: signal.Signals, trained: tuple[Workplace, Done], place: Workplace
) -> None:
    ranks = (*COMMAND, "trainer=ddp", "trainer.accelerator=cpu")
    away = Workplace(place.root / "whole", place.cache)
    away.root.mkdir()
    whole = away.run(*ranks)
    run = place.runs / whole.run().relative_to(away.runs)
    started = place.start(*ranks)
    started.kill_when(lambda: in_the_second_epoch(run), by)
    assert_resumes_from_its_step(place, ranks, run, whole)


# Lightning would end at SIGTERM as if the training were done.
@pytest.mark.parametrize("by", rest_slow([signal.SIGKILL, signal.SIGTERM]))
def test_killed_training_leaves_no_half_written_file(
    by: signal.Signals, trained: tuple[Workplace, Done], place: Workplace
) -> None:
    run = place.runs / trained[1].run().relative_to(trained[0].runs)
    place.start(*COMMAND).kill_when(lambda: in_the_first_epoch(run), by)
    assert not (run / "weights").exists()
    assert not (run / "training.json").exists()


def reached(run: Path, step: int) -> bool:
    """Whether curves.csv has come to an optimizer step."""
    curves = run / "curves.csv"
    return curves.exists() and f"\n{step},train/loss," in curves.read_text()


def assert_resumes_from_its_step(place: Workplace, command: Sequence[str], run: Path, whole: Done) -> None:
    """No step is taken again after a signal in the second epoch, from step 5 to 9; all ends as without it."""
    saved = read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"]
    assert saved > 7
    assert not reached(run, saved)
    resumed = place.run(*command)
    assert resumed.status == 0, resumed.output
    assert json.loads((run / "training.json").read_text())["timed_epochs"] == (10 - saved) / 5
    assert_same(resumed, whole)


def assert_same(resumed: Done, whole: Done) -> None:
    """Weights, curves, figures and the users' lists are equal; times are not compared."""
    weights, expected = (load_file(done.run() / "weights" / "model.safetensors") for done in (resumed, whole))
    assert weights.keys() == expected.keys()
    assert all((weights[name] == expected[name]).all() for name in expected)
    assert curves(resumed) == curves(whole)
    assert (resumed.record().name, figures(resumed)) == (whole.record().name, figures(whole))
    for name in ("ranking.parquet", "rows.parquet"):
        mine, theirs = (pq.read_table(done.record() / name) for done in (resumed, whole))
        assert mine.equals(theirs)


def curves(done: Done) -> list[str]:
    """The lines of curves.csv, less those that depend on the machine's load."""
    lines = (done.run() / "curves.csv").read_text().splitlines()
    return [line for line in lines if line.split(",")[1] not in MEASURED_BY_THE_CLOCK]


def figures(done: Done) -> str:
    """metrics.json without its seconds, which come last."""
    text, seconds, _ = (done.record() / "metrics.json").read_text().partition('"seconds"')
    assert seconds
    return text
