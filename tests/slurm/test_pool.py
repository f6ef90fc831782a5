"""Sweeps on a real SLURM cluster, whose jobs run a stand-in for llmrec.run."""

import dataclasses
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrec.errors import InputError
from llmrec.launcher.slurm import SlurmPool, open_executor
from llmrec.launcher.unattended import UnattendedPool
from llmrec.training.plan import Job
from llmrec.training.progress import read_progress
from llmrec.training.run_folder import RunFolder
from llmrec.training.submitted import read_queue
from tests.launcher.test_slurm import queue

FailedJobError = pytest.importorskip("submitit.core.utils").FailedJobError
pytestmark = [pytest.mark.slurm, pytest.mark.slow]
STAND_IN = """
import json, os, sys, time
from pathlib import Path
words = dict(word.split("=") for word in sys.argv[1:])
if "fails" in words:
    sys.exit(f"cannot be trained: {words['fails']}")
folder = Path(words["run"])
if (folder / "begun").exists():
    print("resumed")
else:
    (folder / "begun").touch()
    time.sleep(float(words.get("seconds", 0)))
(folder / "training.json").write_text("{}")
(folder / "ranking").mkdir(exist_ok=True)
# As a run does, so that nobody reads half a file: all tasks write it.
written = folder / f"metrics-{os.environ['SLURM_PROCID']}.json"
written.write_text(json.dumps({**os.environ, "measured_by": "key"}))
written.replace(folder / "ranking" / "metrics.json")
"""
"""In the place of llmrec.run: leaves what a run leaves, at once, or after some seconds where it starts for the first
time."""


@pytest.fixture
def cluster(slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which this process uses the cluster."""
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    # `python -m` looks here first.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SlurmPool, "pause", 0.2)
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    # submitit asks for the states of jobs once a minute otherwise.
    monkeypatch.setattr("submitit.slurm.slurm.SlurmJob.watcher._delay_s", 2)
    (tmp_path / "stand_in" / "llmrec").mkdir(parents=True)
    (tmp_path / "stand_in" / "llmrec" / "__init__.py").touch()
    (tmp_path / "stand_in" / "llmrec" / "run.py").write_text(STAND_IN)
    return tmp_path


def pool_of(cluster: Path, *overrides: str, **settings: Any) -> SlurmPool:
    """A pool of four slots whose jobs run STAND_IN instead of llmrec.run."""
    chosen = queue("launcher.cpus=1", *overrides) | settings
    executor = open_executor(str(cluster / "submitit" / "%j"), {**chosen, "array_parallelism": 4})
    stand_in = {"PYTHONPATH": str(cluster / "stand_in")}
    return SlurmPool(executor, [stand_in] * 4, [], "a sweep")


def job_of(cluster: Path, name: str, *words: str, stages: tuple[Job, ...] = ()) -> Job:
    """A job that leaves its record in a run of that name."""
    run = RunFolder(cluster / "runs" / name)
    run.folder.mkdir(parents=True)
    return Job((f"run={run.folder}", *words), run, run.folder / "ranking", "key", stages, name)


def left_by(job: Job) -> dict[str, str]:
    """The environment in which a job ran."""
    found: dict[str, str] = json.loads((job.record / "metrics.json").read_text())
    return found


def scontrol(*arguments: str) -> None:
    """Changes something about the cluster."""
    subprocess.run(["scontrol", *arguments], check=True)


def once_begun(job: Job, act: Callable[[], None]) -> Callable[[list[Job]], None]:
    """Returns what a pool calls between its jobs: acts once after a job has begun."""
    done: list[None] = []

    def settle(waiting: list[Job]) -> None:
        if not done and (job.run.folder / "begun").exists():
            done.append(act())

    return settle


def queued() -> list[str]:
    """The jobs in the queue and those that run."""
    command = ["squeue", "--noheader", "--format=%i", "--states=PENDING,RUNNING,SUSPENDED"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_stages_are_submitted_before_what_needs_them_and_together(cluster: Path) -> None:
    stages = job_of(cluster, "sft"), job_of(cluster, "sasrec")
    jobs = [job_of(cluster, "rosepo", stages=stages), job_of(cluster, "dpo", stages=stages[:1])]
    outcomes = pool_of(cluster).run(jobs)
    assert [(outcome.job, outcome.state) for outcome in outcomes] == [(job, "done") for job in jobs]
    first, second, third = (left_by(job) for job in (*stages, jobs[0]))
    assert first["SLURM_ARRAY_JOB_ID"] == second["SLURM_ARRAY_JOB_ID"] != third["SLURM_ARRAY_JOB_ID"]
    assert third["WANDB_RUN_GROUP"] == "a sweep"
    assert (third["SLURM_CPUS_PER_TASK"], third["SLURM_STEP_NUM_TASKS"]) == ("1", "1")


def test_a_device_is_a_task(cluster: Path) -> None:
    job = job_of(cluster, "ddp")
    (outcome,) = pool_of(cluster, "trainer=ddp", "trainer.devices=2", "trainer.nodes=2").run([job])
    assert outcome.state == "done"
    assert (left_by(job)["SLURM_STEP_NUM_TASKS"], left_by(job)["SLURM_STEP_NUM_NODES"]) == ("4", "2")
    assert {file.name for file in job.run.folder.glob("*.log")} == {"job.log", *(f"rank-{i}.log" for i in (1, 2, 3))}


def test_a_failure_is_named_with_its_logs_and_takes_what_builds_on_it(cluster: Path) -> None:
    broken = job_of(cluster, "broken", "fails=no_such_model")
    above, other = job_of(cluster, "above", stages=(broken,)), job_of(cluster, "other")
    first, second, third = pool_of(cluster).run([broken, above, other])
    assert [end.state for end in (first, second, third)] == ["failed", "skipped", "done"]
    assert f"its output: {broken.run.folder / 'job.log'}; SLURM's: {cluster / 'submitit'}" in first.reason
    assert "cannot be trained: no_such_model" in (broken.run.folder / "job.log").read_text()
    assert "no_such_model" in broken.run.failure.read_text()


def test_a_queue_that_takes_nothing_is_an_error(cluster: Path) -> None:
    with pytest.raises(InputError, match=r"sbatch took none of 1 jobs, see conf/launcher/slurm.yaml.*none-such"):
        pool_of(cluster, "launcher.partition=none-such").run([job_of(cluster, "any")])


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

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "_settle", once_begun(job, interrupt))
    with pytest.raises(KeyboardInterrupt):
        pool.run([job])
    until = time.monotonic() + 30
    while queued() and time.monotonic() < until:
        time.sleep(0.2)
    assert not queued()
    assert not job.done


def test_scancel_fails_a_job(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, job = pool_of(cluster), job_of(cluster, "slow", "seconds=60")
    monkeypatch.setattr(
        pool, "_settle", once_begun(job, lambda: subprocess.run(["scancel", "--user=root"], check=True) and None)
    )
    (outcome,) = pool.run([job])
    assert outcome.state == "failed"
    assert "CANCELLED" in outcome.reason


def test_a_job_goes_on_elsewhere_when_its_node_is_down(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, job = pool_of(cluster), job_of(cluster, "slow", "seconds=60")
    down = ("update", "nodename=llmrec1", "state=down", "reason=test")
    monkeypatch.setattr(pool, "_settle", once_begun(job, lambda: scontrol(*down)))
    try:
        (outcome,) = pool.run([job])
    finally:
        scontrol("update", "nodename=llmrec1", "state=resume")
    assert outcome.state == "done"
    assert left_by(job)["SLURM_STEP_NODELIST"] == "llmrec2"
    assert "resumed" in (job.run.folder / "job.log").read_text()


def test_a_job_at_its_time_limit_is_requeued(cluster: Path) -> None:
    job = job_of(cluster, "slow", "seconds=300")
    # SLURM may send the signal up to a minute early, which must not be before the job has begun.
    (outcome,) = pool_of(cluster, "launcher.minutes=2", signal_delay_s=30).run([job])
    assert outcome.state == "done"
    assert "resumed" in (job.run.folder / "job.log").read_text()


def unattended_pool_of(cluster: Path, *overrides: str) -> UnattendedPool:
    """As `pool_of`, for jobs that are left to the queue."""
    pool = pool_of(cluster, *overrides)
    return UnattendedPool(pool.executor, pool.slots, [], "a sweep")


def states(*jobs: Job) -> list[str]:
    """How far the runs of jobs are."""
    queue = read_queue()
    return [read_progress(job.run, queue).state for job in jobs]


def until(condition: Callable[[], bool]) -> None:
    """Waits for at most a minute."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.3)
    assert condition()


def test_a_sweep_is_left_to_the_queue(cluster: Path) -> None:
    stage, other = job_of(cluster, "sft", "seconds=5"), job_of(cluster, "msl")
    above = job_of(cluster, "rosepo", stages=(stage,))
    ends = unattended_pool_of(cluster).run([above, other])
    assert [end.state for end in ends] == ["submitted", "submitted"]
    assert not stage.done
    assert states(above) == ["queued"]
    until((stage.run.folder / "begun").exists)
    # What is in the queue is not submitted again.
    again = unattended_pool_of(cluster).run([above, other])
    assert again[0] == ends[0]
    assert again[1].state in ("submitted", "there")
    until(lambda: above.done and other.done)
    assert left_by(above)["WANDB_RUN_GROUP"] == "a sweep"
    until(lambda: not queued())
    assert [end.state for end in unattended_pool_of(cluster).run([above, other])] == ["there", "there"]
    assert not queued()


def test_a_failed_stage_takes_what_waits_for_it_out_of_the_queue(cluster: Path) -> None:
    broken = job_of(cluster, "broken", "fails=no_such_model")
    above, other = job_of(cluster, "above", stages=(broken,)), job_of(cluster, "other")
    unattended_pool_of(cluster).run([above, other])
    until(lambda: not queued())
    assert states(broken, above) == ["failed", "skipped"]
    reason = str(read_progress(broken.run, {}))
    assert reason.startswith("cannot be trained: no_such_model (exit status 1; its output: ")
    assert other.done
    # The same sweep again submits only these two.
    (broken.run.folder / "begun").touch()
    repaired = dataclasses.replace(broken, overrides=broken.overrides[:1])
    ends = unattended_pool_of(cluster).run([dataclasses.replace(above, stages=(repaired,)), other])
    assert [end.state for end in ends] == ["submitted", "there"]
    until(lambda: above.done)
    assert not broken.run.failure.exists()


def test_what_sbatch_refuses_of_an_unattended_sweep_is_named(cluster: Path) -> None:
    pool = unattended_pool_of(cluster, "launcher.partition=none-such")
    with pytest.raises(InputError, match=r"(?s)sbatch took none of 1 jobs.*none-such.*; 0 are in the queue"):
        pool.run([job_of(cluster, "any")])
