"""Sweeps on a SLURM cluster, which is played by scripts on this machine."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.launcher.slurm import SlurmPool, Task, open_executor
from llmrec.training.plan import Job
from llmrec.training.run_folder import RunFolder
from tests.launcher.fake_slurm import install, states, submissions

FailedJobError = pytest.importorskip("submitit.core.utils").FailedJobError
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes by ps")
STAND_IN = """
import json, os, sys, time
from pathlib import Path
words = dict(word.split("=") for word in sys.argv[1:])
if "fails" in words:
    sys.exit(f"cannot be trained: {words['fails']}")
folder = Path(words["run"])
(folder / "begun").touch()
time.sleep(float(words.get("seconds", 0)))
(folder / "training.json").write_text("{}")
(folder / "ranking").mkdir(exist_ok=True)
# As a run does, so that nobody reads half a file: all tasks write it.
written = folder / f"metrics-{os.environ['SLURM_PROCID']}.json"
written.write_text(json.dumps({**os.environ, "measured_by": "key"}))
written.replace(folder / "ranking" / "metrics.json")
"""
"""In the place of llmrec.run: leaves what a run leaves, at once."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cluster that this process can use."""
    for name, value in install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    # `python -m` looks here first.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SlurmPool, "pause", 0.05)
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    (tmp_path / "stand_in" / "llmrec").mkdir(parents=True)
    (tmp_path / "stand_in" / "llmrec" / "__init__.py").touch()
    (tmp_path / "stand_in" / "llmrec" / "run.py").write_text(STAND_IN)
    return tmp_path / "slurm"


def queue(*overrides: str) -> dict[str, Any]:
    """What conf/hydra/launcher/slurm.yaml asks for."""
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="run"):
        config = compose("config", ["launcher=slurm", "launcher.gpus=null", *overrides], return_hydra_config=True)
    settings = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    ours = ("_target_", "_convert_", "jobs", "group", "submitit_folder")
    return {str(key): value for key, value in settings.items() if key not in ours}


def pool_of(cluster: Path, *overrides: str, jobs: int = 4) -> SlurmPool:
    """A pool on the cluster whose jobs run STAND_IN instead of llmrec.run."""
    settings = queue(*overrides)
    executor = open_executor(str(cluster / "submitit" / "%j"), {**settings, "array_parallelism": jobs})
    stand_in = {"PYTHONPATH": str(cluster.parent / "stand_in")}
    return SlurmPool(executor, [stand_in] * jobs, [], "a sweep")


def job_of(cluster: Path, name: str, *words: str, stages: tuple[Job, ...] = ()) -> Job:
    """A job that leaves its record in a run of that name."""
    run = RunFolder(cluster.parent / "runs" / name)
    run.folder.mkdir(parents=True)
    return Job((f"run={run.folder}", *words), run, run.folder / "ranking", "key", stages, name)


def left_by(job: Job) -> dict[str, str]:
    """The environment in which a job ran."""
    found: dict[str, str] = json.loads((job.record / "metrics.json").read_text())
    return found


def test_stages_are_submitted_before_what_needs_them_and_together(cluster: Path) -> None:
    stages = job_of(cluster, "sft"), job_of(cluster, "sasrec")
    jobs = [job_of(cluster, "rosepo", stages=stages), job_of(cluster, "dpo", stages=stages[:1])]
    outcomes = pool_of(cluster).run(jobs)
    assert [(outcome.job, outcome.state) for outcome in outcomes] == [(job, "done") for job in jobs]
    counts = submissions(cluster)
    assert sum(counts) == 4
    assert counts[0] == 2
    found = left_by(jobs[0])
    assert found["WANDB_RUN_GROUP"] == "a sweep"
    assert (found["SLURM_CPUS_PER_TASK"], found["SLURM_STEP_NUM_TASKS"]) == ("4", "1")


def test_a_device_is_a_task(cluster: Path) -> None:
    job = job_of(cluster, "ddp")
    (outcome,) = pool_of(cluster, "trainer=ddp", "trainer.devices=2").run([job])
    assert outcome.state == "done"
    # The first task speaks for all; the second may still be at work.
    while not states(cluster) <= {"COMPLETED", "FAILED"}:
        time.sleep(0.02)
    assert left_by(job)["SLURM_STEP_NUM_TASKS"] == "2"
    assert {file.name for file in job.run.folder.glob("*.log")} == {"job.log", "rank-1.log"}


@pytest.mark.slow
def test_a_failure_is_named_with_its_logs_and_takes_what_builds_on_it(cluster: Path) -> None:
    broken = job_of(cluster, "broken", "fails=no_such_model")
    above, other = job_of(cluster, "above", stages=(broken,)), job_of(cluster, "other")
    first, second, third = pool_of(cluster).run([broken, above, other])
    assert [end.state for end in (first, second, third)] == ["failed", "skipped", "done"]
    assert f"its output: {broken.run.folder / 'job.log'}; SLURM's: {cluster / 'submitit'}" in first.reason
    assert "cannot be trained: no_such_model" in (broken.run.folder / "job.log").read_text()
    assert "no_such_model" in broken.run.failure.read_text()


def test_sbatch_gets_any_option_of_its_own() -> None:
    settings = queue("+launcher.more={qos:high,mail-user:me@there.org}")
    assert settings["additional_parameters"] == {"qos": "high", "mail-user": "me@there.org"}


def test_a_queue_that_takes_nothing_is_an_error(cluster: Path) -> None:
    with pytest.raises(InputError, match=r"sbatch took none of 1 jobs, see conf/launcher/slurm.yaml.*none-such"):
        pool_of(cluster, "launcher.partition=none-such").run([job_of(cluster, "any")])


@pytest.mark.slow
def test_what_is_refused_while_others_run_waits_for_them(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = job_of(cluster, "stage")
    slow, late = job_of(cluster, "slow", "seconds=3"), job_of(cluster, "late", stages=(stage,))
    pool = pool_of(cluster)
    submit, refused = pool.executor.submit_array, []

    def full(tasks: Sequence[Any]) -> list[Any]:
        if any("run=" + str(late.run.folder) in task.arguments for task in tasks) and not slow.done:
            refused.append(tasks)
            raise FailedJobError("QOSMaxSubmitJobPerUserLimit")
        taken: list[Any] = submit(tasks)
        return taken

    pool.executor.submit_array = full  # type: ignore[method-assign]
    assert [end.state for end in pool.run([slow, late])] == ["done", "done"]
    # When the stage has left its run, perhaps again when its job has ended; not again and again.
    assert len(refused) in (1, 2)
    assert (
        "QOSMaxSubmitJobPerUserLimit; tried again once one of the 1 in the queue has ended" in capsys.readouterr().out
    )


def test_an_interrupted_sweep_takes_its_jobs_out_of_the_queue(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, job = pool_of(cluster), job_of(cluster, "slow", "seconds=60")

    def interrupt(waiting: list[Job]) -> None:
        if (job.run.folder / "begun").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(pool, "_settle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.run([job])
    assert states(cluster) == {"CANCELLED"}
    assert not job.done


def test_without_slurm_the_launcher_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="launcher=slurm found no sbatch"):
        open_executor(str(tmp_path), queue())


@pytest.mark.parametrize(
    ("files", "waits"),
    [
        (["curves.csv", "checkpoints/last.ckpt"], True),
        (["curves.csv", "checkpoints/last.ckpt", "training.json"], False),
        (["checkpoints/last.ckpt"], False),
    ],
    ids=["in training", "in evaluation", "before training"],
)
def test_a_job_at_its_time_limit_waits_for_the_checkpoint(
    files: list[str], waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    last, saved = tmp_path / "checkpoints" / "last.ckpt", time.time() - 100
    os.utime(last, (saved, saved))
    slept = []

    def save(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            last.touch()

    monkeypatch.setattr("llmrec.launcher.slurm.time.sleep", save)
    task = Task(["objective=sft"], {}, tmp_path)
    assert task.checkpoint().function is task
    assert len(slept) == (3 if waits else 0)


def test_a_job_at_its_time_limit_waits_for_a_checkpoint_no_longer_than_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "curves.csv").touch()
    monkeypatch.setattr("llmrec.launcher.slurm.SAVE_TIMEOUT_S", 0.2)
    task = Task(["objective=sft"], {}, tmp_path)
    assert task.checkpoint().function is task
