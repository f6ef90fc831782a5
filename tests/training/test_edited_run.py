"""A run with edited code of llmrec is a run of its own, and names the code."""

import json
import logging
from pathlib import Path

import pytest

from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from llmrec.versions import VERSIONS
from tests.code_changes import edit, forget_code
from tests.training.small import composed, resolved


def test_edited_code_is_logged_recorded_and_trained_anew(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = (f"paths.cache={cache}", "objective=msl", "trainer.epochs=1")
    with composed(tmp_path, *overrides) as config:
        before = run_path(config)
    edit(monkeypatch, "objectives/msl.py", "decoding/catalogue_decoder.py")
    with composed(tmp_path, *overrides) as config, caplog.at_level(logging.INFO):
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    assert run.folder.name != Path(before).name
    assert "edited: decoding/catalogue_decoder.py, objectives/msl.py (" in caplog.text
    training, record = run.training["code"], json.loads(metrics_file(tmp_path, run, *overrides).read_text())["code"]
    assert training["training"]["edited"]["objectives/msl.py"] == "edited"
    assert training["training"]["versions"]["objectives.msl"] == VERSIONS["objectives.msl"]
    assert training["data"]["edited"] == {}
    assert record["ranking"]["edited"].keys() == {"decoding/catalogue_decoder.py"}
    assert record["measuring"]["edited"] == {}
    monkeypatch.undo()
    forget_code(monkeypatch)
    with composed(tmp_path, *overrides) as config:
        assert run_path(config) == before


def metrics_file(root: Path, run: RunFolder, *overrides: str) -> Path:
    """The record of a run that was evaluated as it was trained."""
    return run.ranking(resolved(root, *overrides)) / "metrics.json"
