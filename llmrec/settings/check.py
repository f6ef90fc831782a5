"""Checks the settings of a run, and those that a command overrides of a stored run."""

from collections.abc import Collection, Mapping
from typing import Any

from llmrec.settings.dataset import Dataset
from llmrec.settings.run import Run
from llmrec.settings.typed import Check

CLASS_GROUPS = {"decoding", "metrics"}
"""Groups of a stored run that may be overridden and name classes, of which `read_stored` has refused foreign ones."""


def checked_settings(settings: Mapping[str, Any], own: frozenset[str]) -> dict[str, Any]:
    """Checks all settings of a run, except the arguments of the classes that `_target_` names.

    Args:
        settings: The resolved config.
        own: See `Check`.

    Returns:
        The settings with the types of the schema.

    Raises:
        SettingsError: A setting is unknown or has a value that it cannot have.
    """
    check = Check(own)
    typed = check.arguments(Run, settings, "")
    for name in ("reference", "wording"):
        # A prepared set does not need them, but a run does. Only the reference may be null.
        if name not in settings["dataset"] or (name == "wording" and settings["dataset"][name] is None):
            check.refuse(f"dataset.{name}", f"dataset.{name} is not set{Dataset.missing_hint}")
    check.raise_first()
    return typed


def check_classes(settings: Mapping[str, Any]) -> None:
    """Checks the arguments of the classes that `_target_` names in the settings of a run, and imports them.

    Raises:
        SettingsError: A class does not exist, or does not take an argument or its value.
    """
    from llmrec.settings.objects import check_objects

    check = Check()
    check_objects(settings, "", check)
    check.raise_first()


def check_overridden(settings: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Checks the settings of a stored run that a command overrides.

    Others are as they were when the run was trained, which may be an older version's. They are not checked, and what
    they name is not imported.

    Args:
        settings: The resolved config with the overrides.
        keys: The dotted keys that were overridden.

    Returns:
        The settings with the types of the schema.

    Raises:
        SettingsError: An overridden setting is unknown or has a value that it cannot have.
    """
    from llmrec.settings.objects import check_objects

    check = Check()
    typed = check.arguments(Run, settings, "")
    for group in CLASS_GROUPS & {key.partition(".")[0] for key in keys}:
        check_objects(settings[group], group, check)
    check.problems = [(path, text) for path, text in check.problems if any(_touches(path, key) for key in keys)]
    check.raise_first()
    return typed


def _touches(path: str, key: str) -> bool:
    return path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.")
