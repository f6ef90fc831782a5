"""The commands of a sweep for other schedulers: each after what it needs, and run by xargs as by a launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmrec.compose import shipped_config
from llmrec.launcher.plan import waits_for
from llmrec.launcher.pool import with_stages
from llmrec.training.plan import plan_job
from tests.cli.commands import DEBUG, Done, Workplace
from tests.training.small import NARROW, SMALL

SWEEP = ("objective=dpo,sft", "dataset=games", *DEBUG, "evaluation.users=5", "logger=csv")


def plan(place: Workplace, *arguments: str) -> Done:
    return place.run("llmrec.plan", *SWEEP, *arguments)


def rows(done: Done) -> list[list[str]]:
    """The lines of a plan, which has other output on stderr."""
    return [line.split("\t") for line in done.output.splitlines() if "\t" in line]


def test_a_run_waits_for_its_stages_and_for_the_run_before_in_its_folder(tmp_path: Path) -> None:
    paths = [f"paths.{name}={tmp_path / name}" for name in ("data", "cache", "runs")]
    asked = [["objective=dpo"], ["objective=dpo", "decoding.beams=3"], ["objective=sft"], ["objective=msl"]]
    with shipped_config():
        jobs = with_stages([plan_job([*SMALL, *NARROW, *paths, *overrides]) for overrides in asked])
    assert [job.run.folder.parent.name for job in jobs] == ["sft", "dpo-uniform", "sft", "dpo-uniform", "msl"]
    assert waits_for(jobs) == {1: [], 2: [1], 3: [1], 4: [2, 3], 5: []}


def test_a_plan_prints_a_line_a_run_and_runs_nothing(tmp_path: Path) -> None:
    place = Workplace(tmp_path, tmp_path / "cache")
    done = plan(place, "seed=1")
    assert done.status == 0, done.output
    (sft, dpo) = rows(done)
    assert (sft[:2], dpo[:2]) == (["1", "-"], ["2", "1"])
    assert "objective=sft" in sft[2]
    assert "objective=dpo" in dpo[2]
    assert not list(place.runs.rglob("run.log"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ready=perhaps",), "ready=perhaps: give true"),
        (("experiment=search",), "a search chooses each trial by those before"),
        (("objective=sfd",), "did you mean objective=sft?"),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = plan(Workplace(tmp_path, tmp_path / "cache"), *arguments)
    assert done.status == 2
    assert message in done.output


@pytest.mark.slow
def test_xargs_runs_a_sweep(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    place = Workplace(tmp_path, trained[0].cache)
    environment = place.environment() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for runs in (1, 1):
        commands = [line for line in plan(place, "ready=true").output.splitlines() if line.startswith("python -m ")]
        assert len(commands) == runs
        subprocess.run(
            ["xargs", "-0", "-P", "2", "-I{}", "sh", "-c", "{}"], input="\0".join(commands), text=True, check=True,
            cwd=place.root, env=environment,
        )  # fmt: skip
    assert rows(plan(place)) == []
    assert len(list(place.runs.rglob("metrics.json"))) == 2
