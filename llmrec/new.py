"""Makes a folder for a project with components of one's own: python -m llmrec.new my-project."""

import keyword
import re
from pathlib import Path
from string import Template

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Makes a folder with an objective, a reader and a dataset of your own, to start
from, with a test that passes.

  llmrec new my-project
  cd my-project
  python -m pytest
  python -m llmrec.run --config-dir conf objective=smoothed dataset=shop

The Python package in it has the folder's name, as in my_project. An existing
folder is not changed.
"""
TEMPLATES = Path(__file__).parent / "new_project"
"""The files of a project as text; `$package` stands for the name of its package."""
FILES = {
    "README.md": "README.md.txt",
    "conf/dataset/shop.yaml": "shop.yaml.txt",
    "conf/dataset/reader/json_lines.yaml": "json_lines.yaml.txt",
    "conf/objective/smoothed.yaml": "smoothed.yaml.txt",
    "$package/__init__.py": "init.py.txt",
    "$package/json_lines.py": "json_lines.py.txt",
    "$package/smoothed.py": "smoothed.py.txt",
    "tests/test_project.py": "test_project.py.txt",
}
"""Template of each file of a project."""


def main() -> None:
    """Entry point of `llmrec new` and `python -m llmrec.new`."""
    run_command(HELP, _new)


def _new(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError("give the name of one folder, as in llmrec new my-project")
    folder = Path(arguments[0])
    make_project(folder)
    print(f"{folder} made. Next:\n  cd {folder}\n  python -m pytest")
    print("  python -m llmrec.run --config-dir conf objective=smoothed dataset=shop scale=debug")


def make_project(folder: Path) -> None:
    """Writes the files of a project.

    Args:
        folder: The folder to make.

    Raises:
        InputError: The folder exists, or its name makes no name of a Python package.
    """
    package = re.sub(r"[^0-9a-z]+", "_", folder.resolve().name.lower()).strip("_")
    if not package.isidentifier() or keyword.iskeyword(package) or package in ("conf", "data", "llmrec", "tests"):
        raise InputError(f"{folder}: {package!r} cannot be the name of a Python package. Choose another, as my-project")
    if folder.exists():
        raise InputError(f"{folder} exists already. Choose another name, or remove it")
    for name, template in FILES.items():
        file = folder / Template(name).substitute(package=package)
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).safe_substitute(package=package), encoding="utf-8")


if __name__ == "__main__":
    main()
