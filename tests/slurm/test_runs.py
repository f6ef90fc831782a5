"""Runs and sweeps on a real SLURM cluster, as users type them: what they train is what one process does."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llmrec.training.run_folder import TRAINING
from tests.cli.commands import DEBUG, Workplace
from tests.distributed.test_runs import assert_alike

pytest.importorskip("submitit")
pytestmark = [pytest.mark.slurm, pytest.mark.slow]
RUN = (*DEBUG, "logger=csv", "trainer.accelerator=cpu", "dataset=games")
SWEEP = ("launcher=slurm", "launcher.gpus=null", "launcher.cpus=1")
TWO_NODES = ("trainer=ddp", "trainer.nodes=2", "trainer.devices=1")


@pytest.fixture(scope="module")
def cluster(slurm: dict[str, str], shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder from which commands use the cluster."""
    return Workplace(tmp_path_factory.mktemp("runs"), shared / "cache", slurm | {"PYTHONPATH": ":".join(sys.path)})


@pytest.fixture(scope="session")
def alone(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that one process has trained."""
    place = Workplace(tmp_path_factory.mktemp("alone"), shared / "cache")
    return place.train("objective=sft", "trainer.accelerator=cpu", "dataset=games").run()


def test_two_nodes_of_srun_are_one_process(cluster: Workplace, alone: Path, tmp_path: Path) -> None:
    place = replace(cluster, root=tmp_path)
    command = ["srun", "--nodes=2", "--ntasks-per-node=1", "--kill-on-bad-exit", sys.executable, "-m", "llmrec.run"]
    done = subprocess.run(
        [*command, *RUN, *TWO_NODES, "objective=sft"], cwd=tmp_path, env=place.environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (trained,) = place.runs.glob(f"*/*/*/*/*/{TRAINING}")
    assert_alike(trained.parent, alone)


def test_a_sweep_trains_its_stages_first_on_two_nodes(cluster: Workplace, alone: Path) -> None:
    done = cluster.run("llmrec.run", "-m", *RUN, *SWEEP, *TWO_NODES, "objective=sft,dpo")
    assert done.status == 0, done.output
    (stage,) = cluster.runs.glob("*/*/*/sft/*")
    assert_alike(stage, alone)
    assert len(list(cluster.runs.glob(f"*/*/*/dpo*/*/{TRAINING}"))) == 1


def test_a_sweep_runs_after_its_command_has_ended(cluster: Workplace, alone: Path, tmp_path: Path) -> None:
    place = replace(cluster, root=tmp_path)
    sweep = ("llmrec.run", "-m", *RUN, *SWEEP, "launcher.wait=false", "objective=sft,dpo")
    left = place.run(*sweep)
    assert left.status == 0, left.output
    assert left.output.count(": submitted as SLURM job ") == 2
    assert "0 of 2 jobs are done; these are not:" in left.output
    end = time.monotonic() + 240
    while "2 done" not in (shown := place.run("llmrec.status", "runs").output) and time.monotonic() < end:
        time.sleep(1)
    assert "2 done" in shown
    (stage,) = place.runs.glob("*/*/*/sft/*")
    assert_alike(stage, alone)
    again = place.run(*sweep)
    assert again.status == 0, again.output
    assert "2 of 2 jobs are done" in again.output
    assert "submitted" not in again.output


def test_a_job_that_fails_is_named_and_the_others_run(cluster: Workplace, tmp_path: Path) -> None:
    place = replace(cluster, root=tmp_path)
    (tmp_path / "crashing.py").write_text(CRASHING)
    done = place.run(
        "llmrec.run", "-m", *RUN, *SWEEP, "objective=sft", "objective._target_=llmrec.objectives.sft.SFT,crashing.SFT"
    )
    assert done.status == 1
    assert "job.log" in done.output
    (failure,) = place.runs.glob("*/*/*/*/*/failed.txt")
    assert "ValueError: a bug" in (failure.parent / "job.log").read_text()
    assert len(list(place.runs.glob(f"*/*/*/*/*/{TRAINING}"))) == 1


CRASHING = """
from llmrec.objectives import sft


class SFT(sft.SFT):
    def token_losses(self, encoded, batch):
        raise ValueError("a bug")
"""
