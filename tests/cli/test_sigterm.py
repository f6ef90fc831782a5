"""SIGTERM at work: status 143, one line, nothing half-written, no process and no lock left; the command goes on."""

import dataclasses
import signal
import time
from pathlib import Path

import pytest

from tests.cli.commands import DEBUG, PAUSE_BEFORE_RENAMING, Workplace, ended_by_sigterm
from tests.cli.trees import Tree, needs_proc
from tests.datasets.layouts import write_generic

WITHIN_S = 60
"""Far more than it takes, since other tests may have the cores; a process that waited for its children's end by itself
would take longer."""


@pytest.mark.slow
@needs_proc
def test_a_terminated_run_takes_its_stage_with_it_and_goes_on(place: Workplace) -> None:
    command = ("llmrec.run", "objective=msl", "stage=sft", "dataset=games", *DEBUG, "logger=csv")
    tree = Tree(place, *command).when(lambda: bool(list(place.runs.glob("*/*/tiny/sft/*/curves.csv"))))
    started = time.monotonic()
    done = tree.terminate()
    assert time.monotonic() - started < WITHIN_S
    assert ended_by_sigterm(done, "llmrec.run")
    assert leftovers(place.root) == []
    again = place.run(*command)
    assert again.status == 0, again.output
    assert "another process" not in again.output


@needs_proc
def test_a_terminated_sweep_ends_its_jobs(place: Workplace) -> None:
    sweep = ("llmrec.run", "-m", "objective=sft,msl", "dataset=games", "launcher.jobs=2", *DEBUG, "logger=csv")
    tree = Tree(place, *sweep).when(lambda: bool(list(place.runs.glob("*/*/tiny/*/*/curves.csv"))))
    done = tree.terminate()
    assert ended_by_sigterm(done, "llmrec.run")
    assert leftovers(place.root) == []
    assert not list(place.runs.rglob("failed.txt"))


@pytest.mark.slow
def test_a_terminated_prepare_leaves_no_folder(place: Workplace, tmp_path: Path) -> None:
    shop = write_generic(tmp_path / "shop")
    command = ("llmrec.prepare", f"path={shop}", "out=sets/shop")
    paused = dataclasses.replace(place, variables={PAUSE_BEFORE_RENAMING: f"{place.root}/sets/.shop.*"})
    started = paused.start(*command)
    started.kill_when(lambda: bool(list((place.root / "sets").glob(".shop.*/*"))), signal.SIGTERM)
    assert ended_by_sigterm(started.wait(), "llmrec.prepare")
    assert list((place.root / "sets").iterdir()) == []
    assert place.run(*command).status == 0


def test_what_a_killed_prepare_leaves_is_removed_by_the_next(place: Workplace, tmp_path: Path) -> None:
    shop = write_generic(tmp_path / "shop")
    paused = dataclasses.replace(place, variables={PAUSE_BEFORE_RENAMING: f"{place.root}/sets/.shop.*"})
    started = paused.start("llmrec.prepare", f"path={shop}", "out=sets/shop")
    started.kill_when(lambda: bool(list((place.root / "sets").glob(".shop.*/*"))), signal.SIGKILL)
    assert len(leftovers(place.root)) == 1
    assert place.run("llmrec.prepare", f"path={shop}", "out=sets/other").status == 0
    assert [entry.name for entry in (place.root / "sets").iterdir()] == ["other"]


def leftovers(root: Path) -> list[Path]:
    """The temporary files and folders below a folder."""
    return list(root.rglob(".*.partial"))
