"""Turns Hydra's errors about overrides into llmrec's own, which name the nearest key."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError, SettingsError
from llmrec.settings.own_keys import keys_in
from llmrec.settings.unknown import keys_beside, unknown_key

COMPOSITION_ERRORS = (ConfigCompositionException, OverrideParseException, yaml.YAMLError)
"""Errors of Hydra about the overrides and the YAML files of a command."""
NO_SUCH_KEY = re.compile(r"Could not override '([^'@]+)")


def composition_error(error: Exception, folders: Sequence[str] = ()) -> SettingsError:
    """Returns an error in one line for one of Hydra or OmegaConf about a config that cannot be composed.

    Hydra's advice to add an unknown key with `+` is left out, because only known keys can be used.

    Args:
        error: The error.
        folders: Folders of the user's own YAML files.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return SettingsError(_unknown_option(group, option, error.options))
    if isinstance(error, yaml.YAMLError):
        return SettingsError(f"not valid YAML: {' '.join(str(error).split())}. Correct that line")
    named = NO_SUCH_KEY.match(str(error))
    if named is None:
        text = str(error).partition("Config search path")[0].partition("To append to your")[0]
        return SettingsError(" ".join(text.split()))
    path = named[1].replace("/", ".")
    known = frozenset[str]().union(*(keys_in(folder) for folder in (conf_dir(), *folders)))
    if path in known:
        return SettingsError(f"{path}: the options that are chosen have no such setting, only others of their groups")
    return SettingsError(unknown_key(path, keys_beside(path, known)))


def refuse_group_values(arguments: Sequence[str], folders: Sequence[str]) -> None:
    """Refuses null and lists as the option of a group, for which Hydra has no message of its own.

    Args:
        arguments: The command-line arguments.
        folders: Folders of the user's own YAML files.

    Raises:
        SettingsError: A group has such a value.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        group = key.partition("@")[0]
        places = [Path(folder) / group for folder in (conf_dir(), *folders) if group and group != "hydra"]
        options = sorted({file.stem for place in places for file in place.glob("*.yaml")})
        if options and (value.strip() in ("null", "") or value.lstrip().startswith("[")):
            raise SettingsError(f"{argument}: give the name of one option: {', '.join(options)}")


def refuse_unknown_flags(arguments: Sequence[str]) -> None:
    """Refuses flags that Hydra's command line does not have; its own error is its whole usage.

    Raises:
        InputError: There is no such flag, or its value is missing.
    """

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}. Write settings as key=value; --help lists the groups")

    parser = get_args_parser()
    setattr(parser, "error", refuse)  # noqa: B010
    _, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        refuse(f"{unknown[0]}: there is no such flag")


def refuse_unknown_hydra_keys(arguments: Sequence[str]) -> None:
    """Refuses keys that are added to Hydra's own settings (+hydra.KEY=VALUE), which nothing would read.

    Raises:
        SettingsError: Hydra has no such setting.
    """
    for argument in arguments:
        path = argument.lstrip("+").partition("=")[0]
        if not argument.startswith("+") or not path.startswith("hydra."):
            continue
        node = OmegaConf.structured(HydraConf)
        for key in path.split(".")[1:]:
            # A node without a schema, such as hydra.job_logging, takes any key.
            if not isinstance(node, DictConfig) or OmegaConf.get_type(node) is dict:
                break
            if key not in node:
                raise SettingsError(unknown_key(path, set(map(str, node))))
            node = None if OmegaConf.is_missing(node, key) else node[key]


def _unknown_option(group: str, option: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(option, options, 1)
    if near:
        return f"{group}={option}: did you mean {group}={near[0]}?"
    return f"{group}={option}: there is no such option. Choose one of {', '.join(options)}"
