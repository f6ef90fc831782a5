"""One pretrained backbone for all small cells of this folder."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the small cells share."""
    return tmp_path_factory.mktemp("cache")
