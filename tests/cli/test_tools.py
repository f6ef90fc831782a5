"""The Makefile, the constraints and the entry points agree with the package."""

import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_make_lists_its_targets() -> None:
    page = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "test", "checks", "bench", "clean"):
        assert f"make {target} " in page


def test_every_dependency_but_torch_is_pinned_within_its_range() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = {pin.name: str(pin.specifier)[2:] for pin in map(Requirement, filter(_is_pin, lines))}
    extras = [wanted for extra in PROJECT["optional-dependencies"].values() for wanted in extra]
    for wanted in map(Requirement, PROJECT["dependencies"] + extras):
        assert wanted.name == "torch" or wanted.specifier.contains(pins[wanted.name]), wanted
    assert "torch" not in pins


def test_entry_points_name_files_of_the_package() -> None:
    for target in PROJECT["scripts"].values():
        module, function = target.split(":")
        assert f"def {function}(" in (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()


def _is_pin(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")
