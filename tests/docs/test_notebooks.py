"""The notebooks run from the first cell to the last, and what they were saved with is what they are."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.cli.commands import Done, Workplace
from tests.docs.session import DOCS

NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_runs(file: Path, trained: tuple[Workplace, Done], tmp_path: Path, monkeypatch) -> None:
    place = Workplace(tmp_path, trained[0].cache)
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    # Without this, the progress bars of libraries ask for ipywidgets.
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    saved = nbformat.read(file, as_version=4)
    for cell, expected in zip(notebook.cells, saved.cells, strict=True):
        assert kinds(cell) == kinds(expected), cell.source


def kinds(cell: nbformat.NotebookNode) -> list[str]:
    """The kinds of a cell's outputs: stdout, stderr, or the result of the last line."""
    return [output.get("name", output.output_type) for output in cell.get("outputs", [])]
