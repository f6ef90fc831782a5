"""Locates installed Python packages that ship model files, without importing them.

Imports only the standard library.
"""

import importlib.util
from pathlib import Path


def installed_folder(package: str) -> Path | None:
    """Returns the folder of an installed top-level package, or None if it is not installed."""
    # Of a module within a package, find_spec would import the package.
    spec = None if "." in package else importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) if folders else None
