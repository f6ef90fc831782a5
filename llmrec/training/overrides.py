"""Command-line overrides of a trained run's config, restricted to settings that do not change its weights."""

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmrec.compose import compose_run, config_folders
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.settings.annotations import parameters_of
from llmrec.settings.check import check_overridden
from llmrec.settings.composition import COMPOSITION_ERRORS, composition_error
from llmrec.settings.run import Run
from llmrec.settings.unknown import unknown_key

FREE = (
    # The hash of the base weights is checked.
    "backbone.path",
    "dataset.reference",
    "decoding",
    "evaluation",
    "items.file",
    "metrics",
    "paths",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.progress",
)
"""Settings that may differ from those of the training."""
ASSISTANT = "decoding.assistant"
"""The key of the baseline that a decoder uses, chosen by baseline@decoding.assistant=NAME."""


def split_arguments(arguments: Sequence[str], own: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Splits key=value arguments into those of the command itself and overrides of the run's config.

    Args:
        arguments: The command-line arguments.
        own: Keys of the command's own arguments.

    Returns:
        The command's own values as text, by key, and the other arguments unchanged.

    Raises:
        InputError: An argument is not of the form key=value, or its key is neither in `own` nor a setting of a run.
    """
    pairs = [argument.partition("=") for argument in arguments]
    known = {*own, *parameters_of(Run)}
    for key, equals, _ in pairs:
        if not equals:
            raise InputError(f"{key!r} is not of the form key=value (try --help)")
        root = re.split(r"[./@]", key.lstrip("+~"))[0]
        if root not in known:
            raise InputError(unknown_key(root, known))
    values = {key: value for key, _, value in pairs if key in own}
    return values, [f"{key}={value}" for key, _, value in pairs if key not in own]


def trusts(own: Mapping[str, str]) -> bool:
    """Returns whether trust=true is among a command's own arguments.

    Raises:
        InputError: Its value is neither true nor false.
    """
    value = own.get("trust", "false").lower()
    if value not in ("true", "false"):
        raise InputError(f"trust={own['trust']}: give true, to run code that the run's config names, or false")
    return value == "true"


def override(config: DictConfig, overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """Returns a copy of a run's config with overrides.

    Args:
        config: The run's config.
        overrides: In Hydra's syntax, group=option (decoding=vocab) or key=value (decoding.beams=20).
        config_dir: A folder with YAML files of the user's own, with options of the groups decoding, metrics and
            baseline (for a decoder's assistant).

    Raises:
        InputError: An override cannot be parsed, its key or option does not exist, or it would change the weights.
    """
    config, keys = copy.deepcopy(config), list[str]()
    OmegaConf.set_struct(config, True)
    for text in overrides:
        try:
            parsed = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise InputError(f"{text!r} cannot be parsed: {str(error).splitlines()[0]}") from error
        key, value = parsed.key_or_group, parsed.value()
        if (key, parsed.package) == ("baseline", ASSISTANT):
            OmegaConf.update(config, ASSISTANT, _option(key, str(value), config_dir), merge=False, force_add=True)
            keys.append(ASSISTANT)
            continue
        if parsed.is_delete() or parsed.package or parsed.is_sweep_override():
            raise InputError(f"{text}: give one value, as in decoding=vocab or decoding.beams=20")
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            raise InputError(f"{text}: a trained run takes only {', '.join(FREE)}; train another with llmrec.run")
        if key in ("decoding", "metrics"):
            config[key] = _option(key, str(value), config_dir)
        else:
            _set(config, key, value)
        keys.append(key)
    typed = check_overridden(plain(config), keys)
    for key in keys:
        OmegaConf.update(config, key, OmegaConf.select(OmegaConf.create(typed), key), merge=False)
    return config


def _option(group: str, name: str, config_dir: Path | None) -> DictConfig:
    folders = [folder / group for folder in (config_dir, Path(conf_dir())) if folder is not None]
    options = {path.stem for folder in folders for path in folder.glob("*.yaml")}
    if name not in options:
        raise InputError(f"{group}={name}: there is no such option. Choose one of {', '.join(sorted(options))}")
    try:
        # Composed, because an option may have a defaults list.
        with config_folders(config_dir):
            chosen = OmegaConf.to_container(compose_run([f"{group}={name}"])[group], resolve=False)
            return DictConfig(chosen)
    except COMPOSITION_ERRORS as error:
        raise composition_error(error, [] if config_dir is None else [str(config_dir)]) from error


def _set(config: DictConfig, key: str, value: Any) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if isinstance(OmegaConf.select(config, key), DictConfig) and not isinstance(value, Mapping):
        raise InputError(f"{key}={value}: name one of its settings, as in {key}.KEY=VALUE")
    # Arguments with a default may be missing in a stored config, so the keys of a class are checked by its constructor.
    if isinstance(node, DictConfig) and name not in node and "_target_" not in node:
        raise InputError(unknown_key(key, list(map(str, node))))
    try:
        OmegaConf.update(config, key, value, force_add=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{key}={value}: {str(error).splitlines()[0]}") from error
