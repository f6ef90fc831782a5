"""Folders of runs: one training with its rankings.

runs/<dataset>/<task>/<backbone>/<objective>/<training key>/ holds the results of training, and rankings/<ranking key>/
in it the rankings of one way of decoding, with their metrics. A baseline has baseline/<name> instead of
<backbone>/<objective>. Imports the standard library and OmegaConf only.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmrec.atomic import check_writable
from llmrec.components import Code
from llmrec.conf_dir import conf_dir
from llmrec.datasets.source import Source, locate
from llmrec.errors import BusyError, InputError, SettingsError
from llmrec.evaluation.reference_model import embeds_by_reference
from llmrec.identity import measuring_code, measuring_key, ranking_code, ranking_key, training_code, training_key
from llmrec.manifest import damage_named, folder_manifest, measure_again, retrain
from llmrec.plain import plain
from llmrec.renamed import refuse_renamed_keys
from llmrec.stored_config import read_stored
from llmrec.training.stages import stage_configs

if TYPE_CHECKING:
    from llmrec.datasets.dataset import Dataset

CONFIG, TRAINING, METRICS = "config.yaml", "training.json", "metrics.json"
CHECKPOINTS = "checkpoints"
"""Folder of a run with the checkpoints from which an interrupted training resumes."""
LAST = "last.ckpt"
"""The checkpoint from which it resumes, written at the end of each epoch and inside it."""
MEASURED_BY = "measured_by"
"""Entry of METRICS that holds the key of the settings and code that computed it."""
OLDER_DECODERS = {
    "next_item": "llmrec.decoding.catalogue_decoder.BeamSearchDecoder",
    "rerank": "llmrec.decoding.list_decoder.PermutationDecoder",
}
"""Decoders by task, of runs from before their configs named a class."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Attributes:
        folder: Its path.
    """

    folder: Path

    @property
    def config_file(self) -> Path:
        """The file of the resolved config, as plain YAML."""
        return self.folder / CONFIG

    @property
    def trained(self) -> bool:
        """Whether training has finished: training.json is written last."""
        return (self.folder / TRAINING).is_file()

    @property
    def training(self) -> dict[str, Any]:
        """The content of training.json, such as provenance, selected epoch and seconds."""
        folder_manifest(self.folder).check(retrain(self.folder), TRAINING)
        file = self.folder / TRAINING
        with damage_named(file, retrain(self.folder)):
            return dict(json.loads(file.read_text(encoding="utf-8")))

    def check_trained_on(self, dataset: "Dataset") -> None:
        """Checks that a run that another one uses was trained on the same data.

        Args:
            dataset: The dataset of the run that uses this one.

        Raises:
            InputError: It was trained on other data.
        """
        trained_on = self.training["dataset"]
        if trained_on["content_hash"] != dataset.content_hash:
            raise InputError(
                f"the stage {self.folder} was trained on {trained_on['name']} ({trained_on['content_hash'][:12]}), "
                f"this run is on {dataset.name} ({dataset.content_hash[:12]}). Delete that folder to train the stage "
                "again"
            )

    @property
    def failure(self) -> Path:
        """The file by which a launcher marks the last job of the run as failed, until another job starts."""
        return self.folder / "failed.txt"

    def config(self, trust: bool = False) -> DictConfig:
        """Reads the run's resolved config, with today's paths and defaults for settings that it does not have yet.

        The group metrics is empty, whatever the run was measured with.

        Args:
            trust: Accepts code that the config names; see `read_stored`.

        Raises:
            InputError: The folder is not a run's, or its config is refused.
        """
        if not self.config_file.is_file():
            raise InputError(
                f"{self.folder} is not the folder of a run: {CONFIG} is missing. Give run=runs/<...>/<key>"
            )
        folder_manifest(self.folder).check(retrain(self.folder), CONFIG)
        config = read_stored(self.config_file, trust)
        # A config without its groups passes as YAML.
        with damage_named(self.config_file, retrain(self.folder)):
            return _with_present_settings(config)

    def ranking(self, config: DictConfig) -> Path:
        """Returns the folder of the rankings with the decoding and evaluation settings of a config."""
        settings = plain(config)
        # Where nothing is embedded by the reference model, the data need not be at hand.
        simulated = embeds_by_reference(settings["decoding"]) and run_source(config).simulated
        return self.folder / "rankings" / ranking_key(settings, simulated)

    def is_evaluated(self, config: DictConfig) -> bool:
        """Whether the run is ranked and measured with the settings of a config and the present code."""
        return is_measured(self.ranking(config), measuring_key_of(config))

    @property
    def is_locked(self) -> bool:
        """Whether a process works on the run."""
        file = self.folder / ".lock"
        if not file.is_file():
            return False
        with open(file) as opened:
            try:
                # Shared, so that two reports do not see each other as a process that works on the run.
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                # A file system without locks cannot tell.
                return False
        return False

    def lock(self) -> AbstractContextManager[None]:
        """Locks the run's folder against other processes; the lock of a process that dies is released.

        Raises:
            BusyError: Another process holds the lock.
            InputError: The file system does not support locks, or the folder cannot be written.
        """
        return self._held(".lock")

    def claim(self) -> AbstractContextManager[None]:
        """Locks the run against other launchers, separately from `lock`, which the launcher's own job takes.

        Raises:
            BusyError: Another launcher holds the claim.
            InputError: As for `lock`.
        """
        return self._held(".claim")

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        check_writable(self.folder)
        with open(self.folder / name, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(f"another process works on {self.folder}. Wait for it or stop it") from error
            except OSError as error:
                raise InputError(
                    f"the file system of {self.folder} cannot lock files ({error.strerror}), so two processes "
                    "could overwrite each other's results. Choose another with LLMREC_RUNS or paths.runs=..."
                ) from error
            yield


def is_measured(ranking: Path, key: str) -> bool:
    """Returns whether the metrics of a ranking were computed with the settings and code of a key."""
    file = ranking / METRICS
    if not file.is_file():
        return False
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")).get(MEASURED_BY) == key)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}). {measure_again(file)}") from error


def measuring_key_of(config: DictConfig) -> str:
    """Returns the key of the metrics of a run's ranking, see `measuring_key`."""
    return measuring_key(plain(config), run_source(config).simulated)


def run_code(config: DictConfig) -> dict[str, Code]:
    """Returns the code of each step of a run: data (unless it is prepared already), training, ranking, measuring.

    Args:
        config: The resolved run config.
    """
    settings, prepared_by = plain(config), run_source(config).prepared_by
    return {
        **({} if prepared_by is None else {"data": prepared_by}),
        "training": training_code(settings),
        "ranking": ranking_code(settings),
        "measuring": measuring_code(settings),
    }


def run_source(config: DictConfig) -> Source:
    """Returns the source of a run's data."""
    return locate(plain(config.dataset), Path(config.paths.data), Path(config.paths.cache))


def run_path(config: DictConfig) -> str:
    """Returns a run's folder below runs/: <dataset>/<task>/<backbone>/<objective>/<training key>.

    Args:
        config: The composed config with its hydra node, whose choices name the groups.

    Raises:
        InputError: The data or a stage cannot be used.
    """
    refuse_renamed_keys(config)
    settings = resolved_config(config)
    source = run_source(config)
    stages = {name: run_path(stage).rpartition("/")[2] for name, stage in stage_configs(config).items()}
    choices = config.hydra.runtime.choices
    model = ["baseline", choices["baseline"]] if is_baseline(config) else _model_names(choices)
    key = training_key(settings, source.content_hash, source.simulated, stages)
    return "/".join([source.name, choices["task"], *model, key])


def run_name(config: DictConfig) -> str:
    """Returns the name of a run for people: <dataset>-<task>-<objective or baseline>-<seed>.

    Args:
        config: The composed config with its hydra node.
    """
    choices = config.hydra.runtime.choices
    method = choices["baseline"] if is_baseline(config) else _model_names(choices)[1]
    return f"{run_source(config).name}-{choices['task']}-{method}-{config.seed}"


def is_baseline(config: DictConfig) -> bool:
    """Returns whether a run fits a baseline instead of tuning a language model."""
    return bool(config.baseline.name != "none")


def _model_names(choices: Mapping[str, str]) -> list[str]:
    backbone = choices["backbone"] if choices["adapter"] == "none" else f"{choices['backbone']}-{choices['adapter']}"
    # Options of groups within the objective distinguish runs of the same objective: gdrt-sft, gdrt-msl.
    subgroups = [group for group in sorted(choices) if group.startswith("objective/") and "@" not in group]
    parts = [choices[group] for group in subgroups]
    return [backbone, "-".join([choices["objective"].replace("/", "-"), *parts])]


def resolved_config(config: DictConfig) -> dict[str, Any]:
    """Returns the resolved run config without Hydra's own node, as plain containers with the types of the schema.

    Raises:
        SettingsError: A setting is unknown or has a value that it cannot have.
    """
    from llmrec.settings.check import checked_settings
    from llmrec.settings.own_keys import own_keys

    try:
        groups = {str(key): config[key] for key in config if key != "hydra"}
        settings = {key: _contained(group) for key, group in groups.items()}
    except OmegaConfBaseException as error:
        raise SettingsError(" ".join(str(error).split())) from error
    return checked_settings(settings, own_keys(config))


def _contained(group: Any) -> Any:
    return OmegaConf.to_container(group, resolve=True) if OmegaConf.is_config(group) else group


def _with_present_settings(config: DictConfig) -> DictConfig:
    """Adds today's paths to a stored config, and defaults of settings that it does not have yet."""
    # Data, cache and runs may have moved since the training.
    now = OmegaConf.load(Path(conf_dir()) / "config.yaml")
    config.paths = plain(now.paths)
    # Settings added since the training get their defaults; settings removed since are dropped.
    stored = {key: value for key, value in config.evaluation.items() if key in now.evaluation}
    config.evaluation = OmegaConf.merge(now.evaluation, stored)
    config.setdefault("baseline", {"name": "none"})
    # Metrics of the user's own are code that every command names anew.
    config.metrics = {}
    tasks = {file.stem: plain(OmegaConf.load(file)) for file in (Path(conf_dir()) / "task").glob("*.yaml")}
    for key in ("_target_", "reference_features"):
        config.task.setdefault(key, tasks.get(config.task.name, {}).get(key))
    config.decoding.setdefault("_target_", OLDER_DECODERS.get(config.task.name))
    dataset_dir = Path(conf_dir()) / "dataset"
    config.dataset.setdefault("reference", OmegaConf.load(dataset_dir / "shared" / "base.yaml").reference)
    config.dataset.setdefault("reader", OmegaConf.load(dataset_dir / "reader" / "auto.yaml"))
    config.setdefault("items", OmegaConf.load(Path(conf_dir()) / "items" / "titles.yaml"))
    config.setdefault("prompt", OmegaConf.load(Path(conf_dir()) / "prompt" / "alpaca.yaml"))
    if config.backbone.name != "tiny":
        for key in ("package", "gguf_file"):
            config.backbone.setdefault(key, None)
    if config.dataset.get("simulator"):
        config.dataset.simulator.setdefault("ratings", False)
    return config
