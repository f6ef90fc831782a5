"""Where the configuration tree lies; standard library only, so that entry points start fast."""

from pathlib import Path


def conf_dir() -> str:
    """Absolute path of conf/: inside the package when installed from a wheel, beside it in an editable install."""
    package = Path(__file__).resolve().parent
    shipped = package / "conf"
    return str(shipped if shipped.is_dir() else package.parent / "conf")
