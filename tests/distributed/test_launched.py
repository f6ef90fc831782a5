"""Runs whose processes a launcher has started: two nodes are two addresses of the loopback range."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from torch import distributed

from llmrec.command import TERMINATED
from llmrec.errors import InputError
from llmrec.training import rendezvous
from llmrec.training.cluster import STANDARD, LaunchedRank, launched_rank
from llmrec.training.rendezvous import Rendezvous, describe_error
from tests.cli.commands import DEBUG, Done, Started, Workplace
from tests.distributed.test_runs import CRASHING, assert_alike

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")

FIRST_NODE = "127.0.0.2"
TWO_NODES = ("trainer.accelerator=cpu", "trainer.nodes=2", "logger=csv", "dataset=games")
ONE_EACH = ("trainer=ddp", "trainer.devices=1")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as free:
        free.bind((FIRST_NODE, 0))
        port: int = free.getsockname()[1]
        return port


def start_ranks(place: Workplace, *overrides: str) -> list[Started]:
    """Starts a process for each of two nodes, as any launcher that sets the standard variables does."""
    port = str(free_port())
    variables = [
        dict(zip(STANDARD, (str(rank), "2", "0", FIRST_NODE, port), strict=True)) | place.variables for rank in (0, 1)
    ]
    return [
        replace(place, variables=own).start("llmrec.run", *DEBUG, *TWO_NODES, *ONE_EACH, *overrides)
        for own in variables
    ]


def by_torchrun(place: Workplace, devices: int, *overrides: str) -> list[Done]:
    """Runs torchrun on two nodes with `devices` processes each."""
    common = (
        "--nnodes=2", f"--nproc-per-node={devices}", f"--master-addr={FIRST_NODE}", f"--master-port={free_port()}",
    )  # fmt: skip
    run = ("-m", "llmrec.run", *DEBUG, *TWO_NODES, f"trainer.devices={devices}", *overrides)
    agents = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *common, f"--node-rank={node}",
             f"--local-addr=127.0.0.{2 + node}", *run],
            cwd=place.root, env=place.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for node in (0, 1)
    ]  # fmt: skip
    outputs = [agent.communicate()[0] for agent in agents]
    return [Done(agent.returncode, output) for agent, output in zip(agents, outputs, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "overrides"),
    [(1, ("trainer=ddp",)), (2, ("trainer=fsdp", "adapter=none"))],
    ids=["ddp", "hsdp"],
)
def test_two_nodes_of_torchrun_are_one_process(
    devices: int, overrides: Sequence[str], place: Workplace, tmp_path: Path
) -> None:
    one = Workplace(tmp_path / "one", place.cache)
    one.root.mkdir()
    first, second = by_torchrun(place, devices, "objective=msl", *overrides)
    assert (first.status, second.status) == (0, 0), first.output + second.output
    assert "record: " not in second.output
    alone = [override for override in overrides if not override.startswith("trainer=")]
    assert_alike(first.run(), one.train("objective=msl", "dataset=games", *alone).run())


def test_a_rank_that_fails_ends_the_others_and_is_named(place: Workplace) -> None:
    (place.root / "crashing.py").write_text(CRASHING)
    first, second = (
        rank.wait() for rank in start_ranks(place, "objective=sft", "objective._target_=crashing.Crashing")
    )
    assert (first.status, second.status) == (1, 1)
    assert "rank 1 on " in first.last_line()
    assert "failed: TypeError: " in first.last_line()
    assert "Traceback" not in first.output
    assert "Traceback" in second.output


def test_an_error_of_the_first_rank_is_named_on_all(place: Workplace) -> None:
    first, second = (rank.wait() for rank in start_ranks(place, "objective=msl", "trainer.nodes=3"))
    said = "trainer.nodes=3 and trainer.devices=1 need 3 processes, but the launcher has started 2"
    assert (first.status, second.status) == (2, 1)
    assert said in first.last_line()
    assert said in second.last_line()


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_which_then_resumes(place: Workplace) -> None:
    overrides = ("objective=msl", "trainer.epochs=30")
    first, second = start_ranks(place, *overrides)
    second.kill_when(lambda: bool(list(place.runs.glob("*/*/*/*/*/checkpoints/last.ckpt"))))
    done = first.wait()
    assert done.status == 1
    assert "The same command resumes the run" in done.last_line()
    assert "Traceback" not in done.output
    resumed = [rank.wait() for rank in start_ranks(place, *overrides)]
    assert [done.status for done in resumed] == [0, 0]
    assert "resuming from" in resumed[0].output


@pytest.mark.slow
def test_a_signal_to_all_ranks_saves_a_checkpoint_inside_an_epoch(place: Workplace) -> None:
    overrides = ("objective=msl", "trainer.epochs=60")
    ranks = start_ranks(place, *overrides)
    while not list(place.runs.glob("*/*/*/*/*/checkpoints/last.ckpt")):
        assert ranks[0].process.poll() is None
        time.sleep(0.01)
    for rank in ranks:
        os.kill(rank.process.pid, signal.SIGTERM)
    ended = [rank.wait() for rank in ranks]
    # The rank that ends first ends the others, whose own signal may come later.
    assert {done.status for done in ended} <= {TERMINATED, 1}
    assert "Traceback" not in ended[0].output + ended[1].output
    resumed = [rank.wait() for rank in start_ranks(place, *overrides)]
    assert [done.status for done in resumed] == [0, 0]
    assert "resuming from" in resumed[0].output


def test_nodes_need_a_launcher(place: Workplace) -> None:
    done = place.run("llmrec.run", *DEBUG, *TWO_NODES, "trainer=ddp")
    assert done.status == 2
    assert "trainer.nodes=2, but this process was started alone" in done.last_line()


def test_a_sweep_is_refused(place: Workplace) -> None:
    variables = dict(zip(STANDARD, ("0", "2", "0", FIRST_NODE, "1"), strict=True))
    done = replace(place, variables=variables).run("llmrec.run", "-m", *DEBUG, "objective=sft,msl")
    assert done.status == 2
    assert "a sweep (-m) is started as one process" in done.last_line()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without the variables of any launcher."""
    for name in list(os.environ):
        if name in STANDARD or name.startswith("SLURM_"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_the_standard_variables_win_over_slurm(environment: pytest.MonkeyPatch) -> None:
    assert launched_rank() is None
    # A batch script.
    environment.setenv("SLURM_PROCID", "0")
    environment.setenv("SLURM_NTASKS", "4")
    assert launched_rank() is None
    slurm = {"PROCID": "3", "STEP_NUM_TASKS": "4", "LOCALID": "1", "STEP_NODELIST": "n[2-3]", "JOB_ID": "120007"}
    for name, value in slurm.items():
        environment.setenv(f"SLURM_{name}", value)
    assert launched_rank() == LaunchedRank(3, 4, 1, "n2", 15_007, False)
    environment.setenv("MASTER_ADDR", "head")
    assert launched_rank() == LaunchedRank(3, 4, 1, "head", 15_007, False)
    for name, value in zip(STANDARD, ("0", "2", "0", "first", "29500"), strict=True):
        environment.setenv(name, value)
    assert launched_rank() == LaunchedRank(0, 2, 0, "first", 29500, True)
    # torchrun opens the store itself.
    environment.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert launched_rank() == LaunchedRank(0, 2, 0, "first", 29500, False)
    environment.setenv("WORLD_SIZE", "1")
    assert launched_rank() is None


def test_an_incomplete_environment_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORLD_SIZE", "2")
    environment.setenv("RANK", "one")
    with pytest.raises(InputError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"):
        launched_rank()
    for name in ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.setenv(name, "1")
    with pytest.raises(InputError, match="RANK=one in the environment: expected a whole number"):
        launched_rank()


def places(ranks: int = 2) -> list[LaunchedRank]:
    """The places of ranks that meet in this process."""
    port = free_port()
    return [LaunchedRank(rank, ranks, 0, FIRST_NODE, port, rank == 0) for rank in range(ranks)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Heartbeats and waiting in fractions of a second."""
    monkeypatch.setattr(rendezvous, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(rendezvous, "NOTICE_S", 0.2)
    monkeypatch.setattr(rendezvous, "LEAVE_S", 0.2)
    return


@pytest.mark.usefixtures("quick")
def test_a_rank_without_heartbeat_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    first, second = (Rendezvous(me, timeout_s=0.5, end=reasons.append) for me in places())
    first.publish("work")
    assert second.receive() == "work"
    # As of a node that has vanished.
    monkeypatch.setattr(second, "_exchange", lambda: time.sleep(0.01))
    until = time.monotonic() + 30
    while not reasons and time.monotonic() < until:
        time.sleep(0.01)
    assert reasons[0].startswith("rank 1 is lost: no heartbeat for 0.5 s")
    assert "the same command resumes it" in reasons[0]


@pytest.mark.usefixtures("quick")
def test_the_first_failure_is_the_cause() -> None:
    reasons: list[str] = []
    first, second = (Rendezvous(me, end=reasons.append) for me in places())
    assert second.fail(TypeError("a bug")) is None
    cause = first.fail(RuntimeError("gloo/transport/tcp/pair.cc: Connection closed by peer"))
    assert cause is not None
    assert cause.startswith("rank 1 on ")
    assert cause.endswith(" failed: TypeError: a bug")


@pytest.mark.usefixtures("quick")
def test_ranks_that_are_late_are_named_with_host_and_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rendezvous, "START_TIMEOUT_S", 1)
    me, late = places()
    with pytest.raises(InputError, match=rf"rank 1 could not reach rank 0 at {FIRST_NODE}:{me.port} within"):
        Rendezvous(late)
    assert f"rank 1 still waits for rank 0 at {FIRST_NODE}:{me.port}" in capsys.readouterr().out
    first = Rendezvous(me)
    with pytest.raises(InputError, match=rf"rank 1 did not connect to {FIRST_NODE}:{me.port} within"):
        first.publish("work")
    assert f"still waiting for rank 1 of 2 to connect to {FIRST_NODE}:{me.port}" in capsys.readouterr().out
    first.fail(KeyboardInterrupt())


def test_a_port_in_use_is_named() -> None:
    me = places()[0]
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", me.port))
        taken.listen()
        with pytest.raises(InputError, match=rf"rank 0 cannot open port {me.port}: .*Set MASTER_PORT to a free port"):
            Rendezvous(me)


def test_errors_are_described_in_one_line() -> None:
    assert describe_error(InputError("no such file")) == "no such file"
    assert describe_error(ValueError("a bug")) == "ValueError: a bug"
    lost = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.3]:1")
    assert "lost the connection to another rank" in describe_error(lost)
    assert describe_error(SystemExit(143)) == "ended with status 143; see its output"
