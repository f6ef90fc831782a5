"""Sweeps on a SLURM cluster as far as no cluster is needed; tests/slurm has the others."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.launcher.slurm import Task, open_executor

pytest.importorskip("submitit")


def queue(*overrides: str) -> dict[str, Any]:
    """What conf/hydra/launcher/slurm.yaml asks for."""
    with initialize_config_dir(conf_dir(), version_base="1.3", job_name="run"):
        config = compose("config", ["launcher=slurm", "launcher.gpus=null", *overrides], return_hydra_config=True)
    settings = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    ours = ("_target_", "_convert_", "jobs", "group", "wait", "submitit_folder")
    return {str(key): value for key, value in settings.items() if key not in ours}


def test_sbatch_gets_any_option_of_its_own() -> None:
    settings = queue("+launcher.more={qos:high,mail-user:me@there.org}")
    assert settings["additional_parameters"] == {"qos": "high", "mail-user": "me@there.org"}


def test_without_slurm_the_launcher_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="launcher=slurm found no sbatch"):
        open_executor(str(tmp_path), queue())


@pytest.mark.parametrize(
    ("files", "waits"),
    [
        (["curves.csv", "checkpoints/last.ckpt"], True),
        (["curves.csv", "checkpoints/last.ckpt", "training.json"], False),
        (["checkpoints/last.ckpt"], False),
    ],
    ids=["in training", "in evaluation", "before training"],
)
def test_a_job_at_its_time_limit_waits_for_the_checkpoint(
    files: list[str], waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    last, saved = tmp_path / "checkpoints" / "last.ckpt", time.time() - 100
    os.utime(last, (saved, saved))
    slept = []

    def save(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            last.touch()

    monkeypatch.setattr("llmrec.launcher.slurm.time.sleep", save)
    task = Task(["objective=sft"], {}, tmp_path)
    assert task.checkpoint().function is task
    assert len(slept) == (3 if waits else 0)


def test_a_job_at_its_time_limit_waits_for_a_checkpoint_no_longer_than_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "curves.csv").touch()
    monkeypatch.setattr("llmrec.launcher.slurm.SAVE_TIMEOUT_S", 0.2)
    task = Task(["objective=sft"], {}, tmp_path)
    assert task.checkpoint().function is task
