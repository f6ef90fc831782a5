"""Finds installed Python packages without importing them: those that ship model files, and those of extras.

Imports only the standard library and errors.
"""

import importlib.util
from pathlib import Path

from llmrec.errors import InputError


def installed_folder(package: str) -> Path | None:
    """Returns the folder of an installed top-level package, or None if it is not installed."""
    # Of a module within a package, find_spec would import the package.
    spec = None if "." in package else importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) if folders else None


def require_package(package: str, extra: str, purpose: str) -> None:
    """Checks that a package of an extra is installed, before a command computes anything.

    Args:
        package: Name under which the package is imported.
        extra: The extra of llmrec that installs it.
        purpose: The command or setting that needs it.

    Raises:
        InputError: The package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{purpose} needs the package {package}: pip install 'llmrec[{extra}]'")
