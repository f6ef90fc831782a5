"""The command line of llmrec.prepare: its own arguments, the settings of the reader, and words for prompts."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, get_args

from llmrec.dataset_yaml import WORDS
from llmrec.datasets.database_urls import is_database
from llmrec.errors import InputError

OWN = ("reader", "source", "path", "out", "name", "split")
READER = "dataset.reader."
"""What the keys of a reader's settings begin with in a run. Here, they may be given without it."""


@dataclass(frozen=True)
class PrepareArguments:
    """The arguments of the command, by what they are for.

    Attributes:
        own: The command's own arguments as text.
        words: The words of prompts, by item, items and verb.
        reader: The config of the reader, with its settings.
        overrides: Overrides of settings of the dataset, such as dataset.k_core=5.
    """

    own: Mapping[str, str]
    words: Mapping[str, str]
    reader: dict[str, Any]
    overrides: list[str]


def parse_arguments(arguments: Sequence[str], config_dir: Path | None) -> PrepareArguments:
    """Sorts arguments of the form key=value.

    Raises:
        InputError: An argument is not of this form, its key is unknown, or the reader cannot be composed.
    """
    given = [argument.partition("=")[::2] for argument in arguments]
    for argument, (key, _) in zip(arguments, given, strict=True):
        if "=" not in argument:
            raise InputError(f"{key!r} is not of the form key=value (try --help)")
    own = {key: value for key, value in given if key in OWN}
    words = {key.removeprefix(WORDS): value for key, value in given if key.startswith(WORDS)}
    overrides = [f"{key}={value}" for key, value in given if _root(key) == "dataset"]
    overrides += [f"dataset.split={own['split']}"] if "split" in own else []
    settings = {
        key: value for key, value in given if key not in OWN and _root(key) != "dataset" and not key.startswith(WORDS)
    }
    name = own.get("reader") or ("generic" if is_database(own.get("path", "")) else _implied_reader(settings))
    parameters = _parameters(_compose_reader(name, [], config_dir))
    for key in settings:
        _check_known(key, name, parameters)
    typed = [f"{READER}{key}={_hydra_value(key, value, parameters)}" for key, value in settings.items()]
    typed += [override for override in overrides if override.startswith(READER)]
    others = [override for override in overrides if not override.startswith(READER)]
    return PrepareArguments(own, words, _compose_reader(name, typed, config_dir), others)


def _root(key: str) -> str:
    return re.split(r"[./@]", key.lstrip("+~"))[0]


def _implied_reader(settings: Mapping[str, str]) -> str:
    """Returns "generic" if one of the settings is its own, else "auto"."""
    from llmrec.datasets.readers.generic import Generic
    from llmrec.settings.annotations import parameters_of

    return "generic" if {_root(key) for key in settings} & parameters_of(Generic).keys() else "auto"


def _parameters(config: Mapping[str, Any]) -> Mapping[str, Parameter]:
    from llmrec.datasets.readers.build import reader_class
    from llmrec.settings.annotations import parameters_of

    return parameters_of(reader_class(config))


def _check_known(key: str, reader: str, parameters: Mapping[str, Parameter]) -> None:
    if _root(key) in parameters or any(found.kind is Parameter.VAR_KEYWORD for found in parameters.values()):
        return
    others = ("path", "out", "name", "split", "reader", "words.item", "dataset.k_core")
    # The default cutoff of 0.6 would take "depth" for "path".
    near = difflib.get_close_matches(_root(key), [*parameters, *others], 1, 0.8)
    if near:
        raise InputError(f"{key}: did you mean {near[0]}?")
    has = ", ".join(parameters) if parameters else "no settings"
    hint = ". Name the reader whose setting it is, as in reader=amazon2023" if reader == "auto" else ""
    raise InputError(
        f"{key}: there is no such setting: reader={reader} has {has}; others are {', '.join(others)}{hint}"
    )


def _hydra_value(key: str, value: str, parameters: Mapping[str, Parameter]) -> str:
    """Returns a value in Hydra's quotes if it is a text, so that it may have spaces; null stays null."""
    found = parameters.get(key)
    is_text = "." in key or (found is not None and _takes_text(found.annotation))
    if value == "null" or not is_text:
        return value
    # Hydra unescapes backslashes only before a quote, so that all others stand for themselves.
    escaped = re.sub(r"\\+(?='|$)", lambda found: 2 * found[0], value).replace("'", "\\'")
    return f"'{escaped}'"


def _takes_text(annotation: Any) -> bool:
    return annotation is str or any(map(_takes_text, get_args(annotation)))


def _compose_reader(name: str, overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Composes the config of a reader, with its own settings as overrides."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from llmrec.conf_dir import conf_dir
    from llmrec.settings.composition import composition_error

    chosen = f"dataset.reader._target_={name}" if "." in name else f"dataset/reader={name}"
    # A class without a YAML has no keys yet, so settings are added (++). A wrong one is refused when it is built.
    settings = [f"++{override}" for override in overrides]
    search = [f"hydra.searchpath=['file://{config_dir.resolve()}']"] if config_dir else []
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            composed = compose("config", [chosen, *settings, *search])
            config: Any = OmegaConf.to_container(composed.dataset.reader, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"reader={name}: {composition_error(error)}") from error
    return dict(config)
