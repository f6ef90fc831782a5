"""Where the configuration tree and the tables' definitions lie; standard library only: entry points start fast."""

from pathlib import Path


def conf_dir() -> str:
    """Absolute path of conf/: inside the package when installed from a wheel, beside it in an editable install."""
    return _shipped("conf")


def tables_dir() -> str:
    """Absolute path of the folder of the table YAMLs, experiments/, which lies as conf/ does."""
    return _shipped("experiments")


def _shipped(name: str) -> str:
    package = Path(__file__).resolve().parent
    shipped = package / name
    return str(shipped if shipped.is_dir() else package.parent / name)
