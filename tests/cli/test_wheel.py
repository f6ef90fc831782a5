"""A wheel that is built, installed elsewhere and run from another folder finds its configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in; needs no network, since the build tools are in the dev extra."""
    folder = tmp_path_factory.mktemp("wheel")
    _python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY), cwd=folder)
    (wheel,) = folder.glob("llmrec-*.whl")
    target = folder / "site"
    _python("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=folder)
    return target


def test_configuration_lies_inside_the_installed_package(installed: Path, tmp_path: Path) -> None:
    found = _python("-c", "from llmrec.conf_dir import conf_dir; print(conf_dir())", cwd=tmp_path, first=installed)
    assert Path(found.strip()) == installed / "llmrec" / "conf"
    shipped = {file.relative_to(installed / "llmrec") for file in (installed / "llmrec" / "conf").rglob("*.yaml")}
    assert shipped == {file.relative_to(REPOSITORY) for file in (REPOSITORY / "conf").rglob("*.yaml")}


def test_help_of_the_installed_package(installed: Path, tmp_path: Path) -> None:
    page = _python("-m", "llmrec.run", "--help", cwd=tmp_path, first=installed)
    assert "objective=" in page
    assert "dataset=" in page


def test_tables_and_the_reports_page_lie_inside_it_too(installed: Path, tmp_path: Path) -> None:
    render = (
        "from llmrec.tables.page import render; print(render({'title': 'scale=cpu', 'tables': [], 'runs': {}}, {}))"
    )
    assert "<!doctype html>" in _python("-c", render, cwd=tmp_path, first=installed).lower()
    shipped = {file.name for file in (installed / "llmrec" / "experiments").iterdir()}
    assert shipped == {file.name for file in (REPOSITORY / "experiments").glob("*.yaml")}


def test_it_reads_no_records_for_it_has_no_results(installed: Path, tmp_path: Path) -> None:
    read = "from llmrec.tables.records import read_archives; print(read_archives())"
    assert _python("-c", read, cwd=tmp_path, first=installed) == "[]\n"


def test_editable_install_uses_the_checkout() -> None:
    from llmrec.conf_dir import conf_dir

    assert Path(conf_dir()) == REPOSITORY / "conf"


def _python(*arguments: str, cwd: Path, first: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(first or "")}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
