"""Cells: what is done is read, who is at work is let alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.training.small import composed


def test_second_process_is_refused_with_the_folder_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.lock(), pytest.raises(InputError, match=f"another process works on {run.folder}"), run.lock():
        pass


def test_run_of_a_run_at_work_is_refused_before_any_data_is_read(tmp_path: Path) -> None:
    with (
        composed(tmp_path) as config,
        RunFolder(tmp_path / "runs" / run_path(config)).lock(),
        pytest.raises(InputError, match="another process"),
    ):
        run_configuration(config)
    assert not (tmp_path / "cache").exists()


def test_process_that_dies_lets_go(tmp_path: Path) -> None:
    hold = f"with RunFolder(Path({str(tmp_path)!r})).lock(): print('held', flush=True); input()"
    code = f"from pathlib import Path; from llmrec.training.run_folder import RunFolder\n{hold}"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError), RunFolder(tmp_path).lock():
            pass
        holder.kill()
        holder.wait()
        with RunFolder(tmp_path).lock():
            pass


def test_folder_without_a_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        RunFolder(tmp_path).config()


def test_run_is_trained_once_its_last_file_is_there(tmp_path: Path) -> None:
    assert not RunFolder(tmp_path).trained
    (tmp_path / "training.json").write_text("{}")
    assert RunFolder(tmp_path).trained
