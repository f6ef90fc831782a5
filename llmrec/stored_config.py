"""Reads the config of a run folder. The folder may be somebody else's, so nothing in it may run code by itself."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmrec.errors import InputError

SHIPPED = "llmrec."
"""Prefix of the names of modules that ship with llmrec."""
HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")
"""Keys by which Hydra instantiates in another way; no config that ships with llmrec has one."""


def read_stored(file: Path, trust: bool) -> DictConfig:
    """Reads the resolved config of a run.

    Of what it names, the baseline, the reader, the task and the decoder are instantiated: an objective stays text in
    commands that train nothing, and metrics are named by each command.

    Args:
        file: The run's config.yaml.
        trust: Whether the command line has `trust=true`, which accepts code that the config names.

    Raises:
        InputError: For a file that is no config or holds an interpolation. Without `trust` also for a `_target_` in
            one of these groups that is no class of llmrec for it, and for settings by which transformers runs code
            that lies beside a model's weights or comes from a hub.
    """
    try:
        config = OmegaConf.load(file)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} cannot be read as YAML ({error}): restore it, or run again") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{file} is not the config of a run: expected keys and values. Restore it, or run again")
    settings = OmegaConf.to_container(config, resolve=False)
    _refuse_interpolations(settings, file)
    if not trust:
        assert isinstance(settings, dict)
        _refuse_foreign_baseline(settings.get("baseline"), file)
        _refuse_foreign_reader(settings.get("dataset"), file)
        _refuse_foreign_task(settings.get("task"), file)
        refuse_foreign_decoder(settings.get("decoding"), file)
        _refuse_remote_code(settings.get("backbone"), file)
    return config


def shipped_class(target: str, base: type) -> type | None:
    """Returns the class of llmrec that a `_target_` names.

    Only a module of llmrec is imported, before the name is looked up in it.

    Args:
        target: A dotted name.
        base: The class that it must subclass.

    Returns:
        The class; None for another kind of object, one that comes from another package, or a name that does not exist.
    """
    module, _, name = target.rpartition(".")
    if not module.startswith(SHIPPED):
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None
    is_shipped = isinstance(found, type) and found.__module__.startswith(SHIPPED) and issubclass(found, base)
    return found if is_shipped else None


def refuse_foreign_decoder(decoding: Any, file: Path) -> None:
    """Refuses a config group `decoding` that names code which does not ship with llmrec.

    Raises:
        InputError: It has a `_target_` that is no decoder of llmrec, nor the baseline of its `assistant`, or another
            key by which Hydra runs code.
    """
    from llmrec.decoding.decoder import Decoder

    own = decoding
    if isinstance(decoding, dict) and isinstance(decoding.get("assistant"), dict):
        _refuse_foreign_baseline(decoding["assistant"], file, "decoding.assistant")
        own = {key: value for key, value in decoding.items() if key != "assistant"}
    _refuse_foreign_targets(own, "decoding", Decoder, file)


def _refuse_interpolations(settings: Any, file: Path) -> None:
    for dotted_key, value in _values(settings):
        if isinstance(value, str) and "${" in value:
            raise InputError(
                f"{file}, {dotted_key}: {value} is an interpolation, which is not resolved: the config of a run "
                "holds values only. Write the value there, or run again"
            )


def _refuse_foreign_baseline(baseline: Any, file: Path, group: str = "baseline") -> None:
    if isinstance(baseline, dict) and baseline.get("name") == "none":
        return
    # Older runs of language models have no group baseline.
    if baseline is None:
        return
    from llmrec.baselines.base import Baseline

    _refuse_foreign_targets(baseline, group, Baseline, file)


def _refuse_foreign_reader(dataset: Any, file: Path) -> None:
    from llmrec.datasets.readers.base import Reader

    # Runs from before readers were chosen by the config have no key reader.
    reader = dataset.get("reader") if isinstance(dataset, dict) else None
    _refuse_foreign_targets(reader, "dataset.reader", Reader, file)


def _refuse_foreign_task(task: Any, file: Path) -> None:
    from llmrec.tasks.base import Task

    _refuse_foreign_targets(task, "task", Task, file)


def _refuse_foreign_targets(settings: Any, group: str, base: type, file: Path) -> None:
    for dotted_key, value in _values(settings, group):
        key = dotted_key.rpartition(".")[2]
        if key in HYDRA_KEYS:
            raise _untrusted(file, dotted_key, value, "no config that ships with llmrec has this key")
        if key == "_target_" and not (isinstance(value, str) and shipped_class(value, base)):
            raise _untrusted(file, dotted_key, value, f"it is no {base.__name__.lower()} that ships with llmrec")


def _refuse_remote_code(backbone: Any, file: Path) -> None:
    settings = backbone if isinstance(backbone, dict) else {}
    code, attention = settings.get("trust_remote_code"), settings.get("attention")
    if code:
        raise _untrusted(file, "backbone.trust_remote_code", code, "the code beside the model's weights would be run")
    if isinstance(attention, str) and "/" in attention:
        raise _untrusted(file, "backbone.attention", attention, "the code of a kernel from a hub would be run")


def _untrusted(file: Path, dotted_key: str, value: Any, reason: str) -> InputError:
    return InputError(
        f"{file}, {dotted_key}: {value} is refused: {reason}, and a run folder may be somebody else's. "
        "If you trust this folder, add trust=true to the command"
    )


def _values(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted key and the value of everything in settings, containers included, at any depth."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(settings, dict):
        pairs = list(settings.items())
    elif isinstance(settings, list):
        pairs = list(enumerate(settings))
    for key, value in pairs:
        dotted_key = f"{prefix}.{key}" if prefix else str(key)
        yield dotted_key, value
        yield from _values(value, dotted_key)
