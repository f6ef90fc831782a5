"""A SLURM cluster of two nodes on this machine."""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import shared, trained  # noqa: F401

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables by which SLURM's commands find the cluster."""
    folder = tmp_path_factory.mktemp("slurm")
    # Clusters have the same ports, so that the files of tests wait for one another.
    with open(Path(tempfile.gettempdir()) / "llmrec-tests-slurm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([HERE / "start.sh", folder], check=True)
        # sacct is the one beside this file.
        yield {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{HERE}:{os.environ['PATH']}"}
        subprocess.run([HERE / "stop.sh", folder], check=True)
