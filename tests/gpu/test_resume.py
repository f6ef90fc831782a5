"""On a GPU: a run of each objective that is killed after its first epoch goes on and ends as an uninterrupted one."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import Workplace

pytestmark = pytest.mark.gpu
COMMAND = ("scale=debug", "dataset=games", "dataset.source=simulated", "logger=csv", "trainer.progress=false",
           "evaluation.users=5", "dataset.reference=null", "trainer.precision=32-true")  # fmt: skip
OBJECTIVES = {
    "sft": ("objective=sft",),
    "msl": ("objective=msl",),
    "gdrt": ("objective=gdrt", "objective/token_loss=msl"),
    "rosepo": ("objective=rosepo",),
    "alro": ("objective=alro",),
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Of all workers: the pretrained model is made once."""
    own = tmp_path_factory.getbasetemp()
    return (own if worker_id == "master" else own.parent) / "cache"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_killed_run_ends_as_an_uninterrupted_one(name: str, cache: Path, tmp_path: Path) -> None:
    whole, killed = (Workplace(tmp_path / place, cache) for place in ("whole", "killed"))
    for place in (whole, killed):
        place.root.mkdir()
    command = ("llmrec.run", *OBJECTIVES[name], *COMMAND)
    expected = whole.typed(*command)
    assert expected.status == 0, expected.output
    run = killed.runs / expected.run().relative_to(whole.runs)
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=killed.root, env=killed.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (run / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = killed.typed(*command)
    assert resumed.status == 0, resumed.output
    assert "resuming from" in resumed.output
    # Sums of a GPU are in no fixed order.
    assert losses(run) == pytest.approx(losses(expected.run()), rel=1e-2)


def losses(run: Path) -> list[float]:
    """The loss of each step."""
    with open(run / "curves.csv", newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "train/loss"]
