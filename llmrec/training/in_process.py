"""Runs a configuration in this process, as `python -m llmrec.run` does in one of its own."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, MissingMandatoryValue

from llmrec.atomic import atomic_file, disk_error
from llmrec.compose import compose_run, config_folders
from llmrec.errors import InputError
from llmrec.renamed import refuse_renamed_overrides
from llmrec.settings.composition import (
    COMPOSITION_ERRORS,
    composition_error,
    refuse_group_values,
    refuse_unknown_hydra_keys,
)
from llmrec.training.run_configuration import complete
from llmrec.training.run_folder import RunFolder, run_path

UNRESOLVED = (InterpolationKeyError, InterpolationResolutionError, MissingMandatoryValue)


def run_in_process(overrides: list[str], config_dir: Path | None) -> tuple[RunFolder, DictConfig]:
    """Trains and evaluates a run; see `llmrec.train`.

    Returns:
        The run's folder and its resolved config.
    """
    flags = [text for text in overrides if text.startswith("-")]
    if flags:
        raise InputError(f"{flags[0]}: give settings as key=value; sweeps and flags are for the command line")
    if config_dir is not None and not config_dir.is_dir():
        raise InputError(f"config_dir={config_dir}: there is no such folder. Give the folder of your YAML files")
    folders = [] if config_dir is None else [str(config_dir)]
    refuse_renamed_overrides(overrides)
    refuse_unknown_hydra_keys(overrides)
    refuse_group_values(overrides, folders)
    try:
        with config_folders(config_dir):
            config = compose_run(overrides)
            folder = Path(config.paths.runs) / run_path(config)
            with atomic_file(folder / ".hydra" / "overrides.yaml") as temporary:
                OmegaConf.save(config.hydra.overrides.task, temporary)
            return complete(config)
    except (*COMPOSITION_ERRORS, *UNRESOLVED) as error:
        raise composition_error(error, folders) from error
    except (OSError, RuntimeError) as error:
        full = disk_error(error, Path.cwd())
        if full is None:
            raise
        raise full from error
