"""Turns Hydra's errors about overrides into llmrec's own, which name the nearest key."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException

from llmrec.conf_dir import conf_dir
from llmrec.errors import SettingsError
from llmrec.settings.own_keys import keys_in
from llmrec.settings.unknown import keys_beside, unknown_key

COMPOSITION_ERRORS = (ConfigCompositionException, OverrideParseException)
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


def _unknown_option(group: str, option: str, options: Sequence[str]) -> str:
    near = difflib.get_close_matches(option, options, 1)
    if near:
        return f"{group}={option}: did you mean {group}={near[0]}?"
    return f"{group}={option}: there is no such option. Choose one of {', '.join(options)}"
