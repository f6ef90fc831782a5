"""The wheel, installed by uv with nothing but what it asks for, trains a run on each supported version of Python."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
RUN = ("-m", "llmrec.run", "objective=msl", "dataset=games", "scale=debug", "logger=csv")
UNREACHABLE = re.compile(r"dns error|Connect|offline|timed out", re.IGNORECASE)


def test_the_versions_are_those_that_the_package_names() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert tuple(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)) == VERSIONS
    assert f'requires-python = ">={VERSIONS[0]}"' in project


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An interpreter with the wheel. uv brings versions that are not here, and packages from its own cache."""
    called(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY))
    (wheel,) = tmp_path.glob("llmrec-*.whl")
    # pyenv's commands for versions that are not selected mislead uv's own search.
    here = sorted(Path.home().glob(f".pyenv/versions/{request.param}.*/bin/python"))
    folder = tmp_path / "venv"
    uv("venv", "--quiet", "--python", str(here[-1]) if here else request.param, str(folder))
    python = folder / "bin" / "python"
    constraints = str(REPOSITORY / "constraints.txt")
    uv("pip", "install", "--quiet", "--python", str(python), "-c", constraints, str(wheel))
    yield python
    # With the CUDA build of torch it has 5 GB.
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_wheel_trains_a_run(python: Path, tmp_path: Path) -> None:
    assert "--help" in called(str(python.parent / "llmrec"), cwd=tmp_path)
    trained = called(str(python), *RUN, cwd=tmp_path)
    assert "SIMULATED data (games-sim)" in trained
    (record,) = tmp_path.glob("runs/games-sim/next_item/tiny/msl/*/rankings/*/metrics.json")
    compared = f"import llmrec; print(llmrec.open({str(record.parents[2])!r}).metrics['test']['users'])"
    assert int(called(str(python), "-c", compared, cwd=tmp_path)) > 0


def uv(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *arguments], env=environment(), capture_output=True, text=True)
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip(f"uv {' '.join(arguments[:2])}: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr


def called(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """The variables of a shell in which llmrec was never used, with pip's folders of wheels."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LLMREC_", "PYTHONPATH"))}
    wheels = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if "PIP_FIND_LINKS" in os.environ else {}
    return {**kept, **wheels, "OMP_NUM_THREADS": "1"}
