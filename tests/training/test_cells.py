"""Cells: what is done is read, who is at work is let alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.training.cells import Cell, cell_path
from llmrec.training.run_cell import run_cell
from tests.training.small import composed


def test_second_process_is_refused_with_the_folder_named(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "cell")
    with cell.lock(), pytest.raises(InputError, match=f"another process works on {cell.folder}"), cell.lock():
        pass


def test_run_of_a_cell_at_work_is_refused_before_any_data_is_read(tmp_path: Path) -> None:
    with (
        composed(tmp_path) as config,
        Cell(tmp_path / "runs" / cell_path(config)).lock(),
        pytest.raises(InputError, match="another process"),
    ):
        run_cell(config)
    assert not (tmp_path / "cache").exists()


def test_process_that_dies_lets_go(tmp_path: Path) -> None:
    hold = f"with Cell(Path({str(tmp_path)!r})).lock(): print('held', flush=True); input()"
    code = f"from pathlib import Path; from llmrec.training.cells import Cell\n{hold}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError), Cell(tmp_path).lock():
            pass
        holder.kill()
        holder.wait()
        with Cell(tmp_path).lock():
            pass


def test_folder_without_a_config_is_no_cell(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        Cell(tmp_path).config()


def test_cell_is_trained_once_its_last_file_is_there(tmp_path: Path) -> None:
    assert not Cell(tmp_path).trained
    (tmp_path / "training.json").write_text("{}")
    assert Cell(tmp_path).trained
