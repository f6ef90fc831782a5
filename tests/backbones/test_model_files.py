"""Locating the files of a saved model in a folder or the hub's cache."""

from pathlib import Path

import pytest

from llmrec.backbones.model_files import model_folder
from llmrec.errors import InputError
from tests.test_file_hash import written


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert model_folder(str(tmp_path)) == tmp_path


def test_a_hubs_model_is_found_in_its_cache_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--an--encoder"
    snapshot = written(repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567", config="{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    assert model_folder("an/encoder") == snapshot
    with pytest.raises(InputError, match=r"another/encoder is no folder, and no model .* from the hub"):
        model_folder("another/encoder")
