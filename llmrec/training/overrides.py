"""Command-line overrides of a trained cell's config: only of what does not change its weights."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError

FREE = (
    "dataset.reference",
    "decoding",
    "evaluation",
    "paths",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.progress",
)
"""What may differ from the config that trained the cell."""


def refuse_other_task(config: DictConfig, run: Path) -> None:
    """Raises InputError when the cell `run` does not rank the catalogue; config: the cell's."""
    if config.task.name != "next_item":
        raise InputError(f"{run} is of task={config.task.name}; this command takes one of task=next_item")


def split_arguments(arguments: Sequence[str], own: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Arguments key=value: those whose key is in `own`, as text, and the rest, which override the cell's config."""
    pairs = [argument.partition("=") for argument in arguments]
    for key, equals, _ in pairs:
        if not equals:
            raise InputError(f"{key!r} is not of the form key=value (try --help)")
    mine = {key: value for key, _, value in pairs if key in own}
    return mine, [f"{key}={value}" for key, _, value in pairs if key not in own]


def trusts(own: Mapping[str, str]) -> bool:
    """Whether a command's own arguments hold trust=true. Raises InputError for another value than true or false."""
    given = own.get("trust", "false").lower()
    if given not in ("true", "false"):
        raise InputError(f"trust={own['trust']}: give true, to run code that the run's folder names, or false")
    return given == "true"


def override(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config with overrides in Hydra's syntax: group=option (decoding=vocab) or key=value (decoding.beams=20).

    Raises InputError for what cannot be parsed, does not exist, or would change the weights.
    """
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, True)
    for text in overrides:
        try:
            parsed = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise InputError(f"{text!r} cannot be parsed: {str(error).splitlines()[0]}") from error
        key, value = parsed.key_or_group, parsed.value()
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise InputError(f"{text}: a trained cell takes only {', '.join(FREE)}; train another with llmrec.run")
        if key == "decoding":
            config.decoding = _option(key, str(value))
        else:
            _set(config, key, value)
    return config


def _option(group: str, name: str) -> DictConfig:
    folder = Path(conf_dir()) / group
    file = folder / f"{name}.yaml"
    if not file.is_file():
        options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise InputError(f"{group}={name}: there is no such option; there are {options}")
    chosen = OmegaConf.load(file)
    assert isinstance(chosen, DictConfig)
    return chosen


def _set(config: DictConfig, key: str, value: Any) -> None:
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise InputError(f"{key}={value}: {str(error).splitlines()[0]}") from error
