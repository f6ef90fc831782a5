"""The help pages: for people to read, and there at once."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from llmrec.cli import COMMANDS as COMMANDS_BY_NAME
from tests.cli.commands import Workplace

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "pytorch_lightning", "pyarrow", "numpy", "wandb", "matplotlib", "sklearn")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `python -m llmrec.run --help` prints."""
    folder = tmp_path_factory.mktemp("help")
    done = Workplace(folder, folder / "cache").typed("llmrec.run", "--help")
    assert done.status == 0
    assert not (folder / "runs").exists()
    return done.output


def test_help_gives_three_examples(page: str) -> None:
    assert sum("python -m llmrec.run " in line for line in page.splitlines()) >= 3


def test_help_lists_every_option_of_every_group(page: str) -> None:
    for group in (REPOSITORY / "conf").iterdir():
        # hydra/ holds none of its own files: it is Hydra's group, with folders in it.
        if group.is_dir() and group.name != "hydra":
            options = ", ".join(sorted(file.stem for file in group.glob("*.yaml")))
            assert f"\n{group.name}: {options}\n" in page


def test_help_names_the_other_two_commands(page: str) -> None:
    assert "llmrec.evaluate" in page
    assert "llmrec.recommend" in page


COMMANDS = (
    "run",
    "plan",
    "status",
    "evaluate",
    "recommend",
    "diagnose",
    "prepare",
    "semantic_ids",
    "report",
    "reproduce",
    "serve",
    "export",
)
MODULES = [f"llmrec.{command}" for command in COMMANDS]


@pytest.mark.parametrize("module", MODULES)
def test_help_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    after_exit = f"import atexit, sys; atexit.register(lambda: print('heavy:', {set(HEAVY)} & set(sys.modules)))"
    run = f"import runpy; sys.argv = ['{module}', '--help']; runpy.run_module('{module}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", f"{after_exit}; {run}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip().endswith("heavy: set()"), done.stdout + done.stderr


def test_help_fits_80_columns() -> None:
    # The help of `run` lists every option of a group on one line.
    pages = [import_module(command.module).HELP for name, command in COMMANDS_BY_NAME.items() if name != "run"]
    assert [line for page in pages for line in page.splitlines() if len(line) > 80] == []


def test_planning_tables_imports_no_model() -> None:
    program = "import sys, llmrec.tables.planned_runs; print({'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("module", ["llmrec.evaluate", "llmrec.recommend", "llmrec.diagnose"])
def test_other_commands_explain_themselves_without_arguments(module: str, tmp_path: Path) -> None:
    done = Workplace(tmp_path, tmp_path / "cache").run(module)
    assert done.status == 0
    assert f"python -m {module} run=" in done.output


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    # As in `llmrec.reproduce list=true | head`.
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "llmrec.reproduce", "--help"], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
