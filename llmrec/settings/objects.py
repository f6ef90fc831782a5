"""Checks and builds the objects of a config: everything that `_target_` names, at any depth."""

import pkgutil
from collections.abc import Mapping
from typing import Any

import hydra
from hydra.errors import InstantiationException

from llmrec.errors import InputError
from llmrec.settings.annotations import parameters_of
from llmrec.settings.describe import describe
from llmrec.settings.typed import Check
from llmrec.settings.types import Name

HYDRA_KEYS = ("_args_", "_convert_", "_partial_", "_recursive_")
"""Keys by which Hydra would build an object in another way."""
NO_CLASS = {"baseline": "none", "decoding.assistant": "none"}
"""Names of options without a class, by group."""
BASE_CLASSES = {
    "baseline": "llmrec.baselines.base.Baseline",
    "dataset.reader": "llmrec.datasets.readers.base.Reader",
    "decoding": "llmrec.decoding.decoder.Decoder",
    "decoding.assistant": "llmrec.baselines.base.Baseline",
    "metrics": "llmrec.metrics.base.Metric",
    "objective": "llmrec.objectives.base.Objective",
    "task": "llmrec.tasks.base.Task",
}
"""The class that `_target_` of a group must be or extend; of the group metrics, that of each of its entries."""
OWN_KEYS: dict[str, dict[str, Any]] = {
    "baseline": {"name": Name},
    "decoding.assistant": {"name": Name},
    "task": {"name": Name, "reference_features": bool},
}
"""Keys of a group that are no arguments of its class, with their types."""


def check_objects(value: Any, path: str, check: Check) -> Any:
    """Checks the arguments of every object in a value against its constructor. Imports the classes.

    Args:
        value: Plain settings.
        path: Their dotted key.
        check: Collects what is wrong.

    Returns:
        The value with arguments of the annotated types.
    """
    if isinstance(value, list):
        return [check_objects(inner, f"{path}.{number}", check) for number, inner in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    inner = {key: check_objects(entry, f"{path}.{key}" if path else str(key), check) for key, entry in value.items()}
    for key, annotation in OWN_KEYS.get(path, {}).items():
        check.value(annotation, value.get(key), f"{path}.{key}")
    base = BASE_CLASSES.get("metrics" if path.startswith("metrics.") and path.count(".") == 1 else path)
    if "_target_" not in value:
        _check_without_class(value, path, base, check)
        return inner
    if NO_CLASS.get(path) == value.get("name", ""):
        check.refuse(f"{path}.name", f"{path}.name={value['name']} has no class. Choose it by {path}={value['name']}")
    for key in sorted(set(value) & set(HYDRA_KEYS)) if base else ():
        check.refuse(f"{path}.{key}", f"{path}.{key}: leave it out. Give _target_ and the arguments of its class")
    target = _located(value["_target_"], path, check)
    if target is None or not _is_of(base, target, value["_target_"], path, check):
        return inner
    kept = {"_target_", *HYDRA_KEYS, *OWN_KEYS.get(path, {})}
    arguments = {key: _object(entry, f"{path}.{key}") for key, entry in inner.items() if key not in kept}
    complete = not {"_args_", "_partial_"} & set(value)
    typed = check.arguments(target, arguments, path, complete)
    _check_classes(target, arguments, path, check)
    return {**inner, **typed}


def _check_without_class(value: Mapping[str, Any], path: str, base: str | None, check: Check) -> None:
    """Refuses a group without a class, unless it is the option that has none."""
    if base is None or path == "metrics":
        return
    if path not in NO_CLASS or value.get("name") != NO_CLASS[path]:
        named = (
            f"{path}.name={value['name']} without {path}._target_" if "name" in value else f"{path}._target_ is not set"
        )
        check.refuse(path, f"{named}: choose an option of the group, whose file names a class")
    for key in sorted(set(value) - {"name"}) if path in NO_CLASS else ():
        check.refuse(f"{path}.{key}", f"{path}.{key}: {path}={NO_CLASS[path]} has no settings. Choose an option")


def _is_of(base: str | None, target: Any, name: str, path: str, check: Check) -> bool:
    """Returns whether what `_target_` names is a class that extends the group's base class, if the group has one."""
    if base is None:
        return True
    fits = isinstance(target, type) and issubclass(target, pkgutil.resolve_name(base))
    if not fits:
        check.refuse(path, f"{path}._target_={name}: give a class that extends {base}")
    return fits


def _check_classes(target: Any, arguments: Mapping[str, Any], path: str, check: Check) -> None:
    """Checks that objects among the arguments are of the annotated classes."""
    for key, parameter in parameters_of(target).items():
        value, wanted = arguments.get(key), parameter.annotation
        if not isinstance(wanted, type) or not isinstance(value, Mapping) or "_target_" not in value:
            continue
        found = _located(value["_target_"], f"{path}.{key}", Check())
        if isinstance(found, type) and not issubclass(found, wanted):
            check.refuse(f"{path}.{key}", f"{path}.{key}._target_={value['_target_']}: give {describe(wanted)}")


def _located(target: Any, path: str, check: Check) -> Any:
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        check.refuse(
            path,
            f"{path}._target_={target} cannot be imported ({reason}). Name the class with its module, and start the "
            "command in the folder that contains the top-level package, or add that folder to PYTHONPATH",
        )
        return None


def build(settings: Mapping[str, Any], path: str) -> Any:
    """Builds an object of a config with arguments of the annotated types.

    Args:
        settings: `_target_` and arguments, resolved.
        path: Their dotted key, for messages.

    Raises:
        InputError: A setting is refused by its annotation, or by the constructor.
    """
    check = Check()
    typed = check_objects(settings, path, check)
    check.raise_first()
    try:
        return hydra.utils.instantiate(_without_own_keys(typed, path))
    except InstantiationException as error:
        raise InputError(f"{path} cannot be built from its settings: {error}") from error


def _object(settings: Any, path: str) -> Any:
    """Returns settings of an argument; None in place of an option without a class."""
    is_none = isinstance(settings, Mapping) and path in NO_CLASS and settings == {"name": NO_CLASS[path]}
    return None if is_none else settings


def _without_own_keys(settings: Any, path: str) -> Any:
    """Returns settings without the keys that are no arguments, at any depth."""
    if not isinstance(settings, Mapping):
        return settings
    kept = {key: value for key, value in settings.items() if key not in OWN_KEYS.get(path, {})}
    return {key: _without_own_keys(value, f"{path}.{key}") for key, value in kept.items()}
