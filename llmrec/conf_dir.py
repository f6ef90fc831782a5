"""Paths of the YAML files that ship with llmrec.

Imports only the standard library, so that entry points start fast.
"""

from pathlib import Path


def conf_dir() -> str:
    """Returns the absolute path of the configuration tree, conf/.

    It lies inside the package when llmrec is installed from a wheel, and beside it in an editable install.
    """
    return _shipped("conf")


def tables_dir() -> str:
    """Returns the absolute path of experiments/, the folder of the table YAMLs; located as conf/ is."""
    return _shipped("experiments")


def _shipped(name: str) -> str:
    package = Path(__file__).resolve().parent
    in_package = package / name
    return str(in_package if in_package.is_dir() else package.parent / name)
