"""One pretrained backbone for all small runs of this folder; a trained run is opened where the test put things."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the small runs share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is opened again looks for data, cache and runs here, never in the checkout."""
    for name in ("data", "cache", "runs"):
        monkeypatch.setenv(f"LLMREC_{name.upper()}", str(tmp_path / name))
