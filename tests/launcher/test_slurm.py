"""Sweeps on a SLURM cluster as far as no cluster is needed; tests/slurm has the others."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.launcher.slurm import open_executor

pytest.importorskip("submitit")


def queue(*overrides: str) -> dict[str, Any]:
    """What conf/hydra/launcher/slurm.yaml asks for."""
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="run"):
        config = compose("config", ["launcher=slurm", "launcher.gpus=null", *overrides], return_hydra_config=True)
    settings = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    ours = ("_target_", "_convert_", "jobs", "group", "submitit_folder")
    return {str(key): value for key, value in settings.items() if key not in ours}


def test_sbatch_gets_any_option_of_its_own() -> None:
    settings = queue("+launcher.more={qos:high,mail-user:me@there.org}")
    assert settings["additional_parameters"] == {"qos": "high", "mail-user": "me@there.org"}


def test_without_slurm_the_launcher_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="launcher=slurm found no sbatch"):
        open_executor(str(tmp_path), queue())
