"""Cells: the folders in which one training and its evaluations leave their facts.

runs/<dataset>/<task>/<backbone>/<objective>/<training fingerprint>/ holds what training made, eval/<evaluation
fingerprint>/ in it what a way of decoding and measuring made; a baseline has baseline/<name> instead of
<backbone>/<objective>. Standard library and OmegaConf only.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from llmrec.atomic import check_writable
from llmrec.conf_dir import conf_dir
from llmrec.datasets.source import Source, locate
from llmrec.errors import BusyError, InputError
from llmrec.plain import plain
from llmrec.stored_config import read_stored
from llmrec.training.fingerprint import evaluation_fingerprint, training_fingerprint
from llmrec.training.stages import stage_configs

CONFIG, TRAINING, METRICS = "config.yaml", "training.json", "metrics.json"


@dataclass(frozen=True)
class Cell:
    """The folder of one training, found from its config."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved config, as plain YAML."""
        return self.folder / CONFIG

    @property
    def trained(self) -> bool:
        """Whether training has finished: training.json is written last."""
        return (self.folder / TRAINING).is_file()

    @property
    def training(self) -> dict[str, Any]:
        """What training.json says: provenance, the chosen epoch, seconds."""
        return dict(json.loads((self.folder / TRAINING).read_text(encoding="utf-8")))

    @property
    def failure(self) -> Path:
        """The file in which a launcher says that the cell's last job failed, until another one is started."""
        return self.folder / "failed.txt"

    def config(self, trust: bool = False) -> DictConfig:
        """Reads the resolved config that made the cell.

        Args:
            trust: Accepts code that the config names; see `read_stored`.

        Raises:
            InputError: When the folder is no cell, or its config is refused.
        """
        if not self.config_file.is_file():
            raise InputError(
                f"{self.folder} is not the folder of a run: {CONFIG} is missing. Give run=runs/<...>/<fingerprint>"
            )
        config = read_stored(self.config_file, trust)
        # Where things lie now, not where they lay when the cell was trained.
        now = OmegaConf.load(Path(conf_dir()) / "config.yaml")
        config.paths = plain(now.paths)
        # What has come to be measured, or to be chosen, since; what no longer is is left out.
        measured = {key: value for key, value in config.evaluation.items() if key in now.evaluation}
        config.evaluation = OmegaConf.merge(now.evaluation, measured)
        config.setdefault("baseline", {"name": "none"})
        shared = OmegaConf.load(Path(conf_dir()) / "dataset" / "shared" / "base.yaml")
        config.dataset.setdefault("reference", shared.reference)
        if config.backbone.name != "tiny":
            for key in ("package", "gguf_file"):
                config.backbone.setdefault(key, None)
        if config.dataset.get("simulator"):
            config.dataset.simulator.setdefault("ratings", False)
        return config

    def evaluation(self, config: DictConfig) -> Path:
        """The folder of the evaluation that `config` (groups decoding and evaluation) describes."""
        return self.folder / "eval" / evaluation_fingerprint(plain(config), run_source(config).simulated)

    def lock(self) -> AbstractContextManager[None]:
        """Holds the cell against other processes; a process that dies lets go. Raises BusyError when it is held."""
        return self._held(".lock")

    def claim(self) -> AbstractContextManager[None]:
        """As `lock`, for a launcher, whose job then takes the lock: other launchers start none."""
        return self._held(".claim")

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        check_writable(self.folder)
        with open(self.folder / name, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(f"another process is at work on {self.folder}: wait for it or stop it") from error
            except OSError as error:
                raise InputError(
                    f"the file system of {self.folder} cannot lock files ({error.strerror}), so that two runs could "
                    "spoil a cell: choose another with LLMREC_RUNS or paths.runs=..."
                ) from error
            yield


def run_source(config: DictConfig) -> Source:
    """Where the run's data come from."""
    return locate(plain(config.dataset), Path(config.paths.data))


def cell_path(config: DictConfig) -> str:
    """The path of a run's cell below runs/: <dataset>/<task>/<backbone>/<objective>/<training fingerprint>.

    config: composed with its hydra node, whose choices name the groups.
    """
    source = run_source(config)
    stages = {name: cell_path(stage).rpartition("/")[2] for name, stage in stage_configs(config).items()}
    choices = config.hydra.runtime.choices
    who = ["baseline", choices["baseline"]] if is_baseline(config) else _model_names(choices)
    fingerprint = training_fingerprint(plain_config(config), source, stages)
    return "/".join([source.name, choices["task"], *who, fingerprint])


def cell_name(config: DictConfig) -> str:
    """What people call a run's cell: <dataset>-<task>-<objective or baseline>-<seed>; config: with its hydra node."""
    choices = config.hydra.runtime.choices
    who = choices["baseline"] if is_baseline(config) else _model_names(choices)[1]
    return f"{run_source(config).name}-{choices['task']}-{who}-{config.seed}"


def is_baseline(config: DictConfig) -> bool:
    """Whether a run's config asks for a baseline instead of a language model."""
    return bool(config.baseline.name != "none")


def _model_names(choices: Mapping[str, str]) -> list[str]:
    backbone = choices["backbone"] if choices["adapter"] == "none" else f"{choices['backbone']}-{choices['adapter']}"
    # A group within the objective tells apart what the objective's name alone does not: gdrt-sft, gdrt-msl.
    within = [group for group in sorted(choices) if group.startswith("objective/") and "@" not in group]
    parts = [choices[group] for group in within]
    return [backbone, "-".join([choices["objective"].replace("/", "-"), *parts])]


def plain_config(config: DictConfig) -> dict[str, Any]:
    """The resolved run config without Hydra's own node, as plain containers."""
    groups = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    # A masked copy forgets its parent; interpolations into the root resolve in the copy itself.
    return plain(groups)
