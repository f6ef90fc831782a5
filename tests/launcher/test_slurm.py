"""Sweeps on a SLURM cluster, which is played by scripts on this machine."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.launcher.slurm import SlurmPool
from tests.launcher.fake_slurm import install

pytest.importorskip("submitit")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes by ps")
STAND_IN = """
import json, os, sys
from pathlib import Path
words = dict(word.split("=") for word in sys.argv[1:])
if "fails" in words:
    sys.exit(f"cannot be trained: {words['fails']}")
folder = Path(words["cell"])
(folder / "training.json").write_text("{}")
(folder / "eval").mkdir(exist_ok=True)
(folder / "eval" / "metrics.json").write_text(json.dumps(dict(os.environ)))
"""
"""In the place of llmrec.run: leaves what a cell leaves, at once."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cluster that this process can use."""
    for name, value in install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(SlurmPool, "pause", 0.05)
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    (tmp_path / "stand_in" / "llmrec").mkdir(parents=True)
    (tmp_path / "stand_in" / "llmrec" / "run.py").write_text(STAND_IN)
    return tmp_path / "slurm"


def queue(*overrides: str) -> dict[str, Any]:
    """What conf/hydra/launcher/slurm.yaml asks for."""
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="run"):
        config = compose("config", ["launcher=slurm", "launcher.gpus=null", *overrides], return_hydra_config=True)
    settings = OmegaConf.to_container(
        OmegaConf.masked_copy(config, ["hydra", "launcher", "trainer", "paths"]).hydra.launcher
    )
    assert isinstance(settings, dict)
    ours = ("_target_", "_convert_", "jobs", "group", "submitit_folder")
    return {str(key): value for key, value in settings.items() if key not in ours}
