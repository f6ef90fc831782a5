"""What code does, as a hash: for fingerprints of cells and of what is kept between runs. Standard library only."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from llmrec.errors import InputError

PACKAGE = Path(__file__).resolve().parent


def code_hash(places: Iterable[str], modules: Iterable[str]) -> str:
    """A hash of what the code does, comments and docstrings aside: files or folders of the package, modules by name."""
    files = {file for place in places for file in _files(PACKAGE / place)}
    files |= {file for module in modules for file in _with_bases(_module_file(module))}
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: (file.parent.name, file.name)):
        digest.update(f"{file.parent.name}/{file.name} {_meaning(file)}\n".encode())
    return digest.hexdigest()


def _with_bases(file: Path) -> set[Path]:
    """The file and the objectives that it builds upon: a subclass of MSL changes when MSL does."""
    imported = (node.module for node in ast.walk(_syntax(file)) if isinstance(node, ast.ImportFrom) and node.module)
    bases = [name for name in imported if name.startswith("llmrec.objectives.") and name != "llmrec.objectives.base"]
    return {file}.union(*(_with_bases(_module_file(name)) for name in bases))


def _module_file(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(
            f"_target_: there is no module {module!r}. Name a class by its module, and start the command in the folder "
            "that the module's path begins in, or add that folder to PYTHONPATH"
        )
    return Path(spec.origin)


def _files(place: Path) -> Iterable[Path]:
    return place.rglob("*.py") if place.is_dir() else [place]


def _syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _meaning(file: Path) -> str:
    return hashlib.sha256(ast.dump(_WithoutTexts().visit(_syntax(file))).encode()).hexdigest()


class _WithoutTexts(ast.NodeTransformer):
    """Takes out docstrings and other lines that are nothing but a text."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """None takes the line out."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
