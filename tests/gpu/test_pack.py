"""What pack.sh takes to a bare GPU machine is what a run needs and that machine lacks. Needs no GPU."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
GPU = ROOT / "experiments" / "gpu"
OWN = {"llmrec", "tests", "shapes", "workload", "training"}
OPTIONAL = {
    "wandb": "logger=wandb",
    "polars": "raw data (the sets are packed as prepared)",
    "adbc_driver_manager": "databases",
    "adbc_driver_postgresql": "databases",
    "adbc_driver_sqlite": "databases",
    "fastapi": "llmrec.serve",
    "starlette": "llmrec.serve",
    "uvicorn": "llmrec.serve",
    "optuna": "experiment=search",
    "sentence_transformers": "a sentence encoder",
    "hydra_plugins": "launcher=slurm",
    "submitit": "launcher=slurm",
    "_typeshed": "type checkers",
}
"""Imported only where somebody asks for what stands behind it."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def there() -> set[str]:
    lines = (GPU / "machine_packages.txt").read_text().splitlines()
    return {normal(line) for line in lines if not line.startswith("#")}


def packed() -> set[str]:
    (names,) = re.findall(r'^PACKAGES="(.*)"$', (GPU / "pack.sh").read_text(), re.MULTILINE)
    return {normal(name) for name in names.split()}


def imports() -> Iterator[tuple[Path, str]]:
    """Files and the packages that they import, standard library and own ones aside."""
    for file in [*(ROOT / "llmrec").rglob("*.py"), *GPU.glob("*.py"), *(ROOT / "tests" / "gpu").glob("test_[drs]*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from ((file, name.split(".")[0]) for name in names)


def test_what_a_run_imports_is_there_or_packed() -> None:
    distributions, found = packages_distributions(), there() | packed()
    lacking = {
        f"{file.relative_to(ROOT)}: {name}"
        for file, name in imports()
        if name not in sys.stdlib_module_names and name not in OWN and name not in OPTIONAL
        if not any(normal(distribution) in found for distribution in distributions.get(name, [name]))
    }
    assert not lacking


def test_what_the_packed_packages_need_is_there_or_packed() -> None:
    for name in packed():
        needed = [Requirement(line) for line in requires(name) or []]
        lacking = [
            need.name
            for need in needed
            if need.marker is None or need.marker.evaluate({"python_version": "3.12", "extra": ""})
            if normal(need.name) not in there() | packed()
        ]
        assert not lacking, name


def test_nothing_is_packed_that_is_there() -> None:
    assert not there() & packed()
