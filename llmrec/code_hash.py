"""Hashes of what code does, for the keys of runs and of cached results. Standard library only."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path

from llmrec.errors import InputError

PACKAGE = Path(__file__).resolve().parent
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}
"""Names of the folders that packages are installed in, also those of another environment on PYTHONPATH."""


@dataclass(frozen=True)
class Module:
    """A module that has been found without importing it.

    Args:
        name: The absolute dotted name.
        file: Its file; None for a namespace package.
        is_package: Whether it is a package, whose own name relative imports start from.
    """

    name: str
    file: Path | None
    is_package: bool


def code_hash(places: Iterable[str], modules: Iterable[str]) -> str:
    """Hashes what code does, comments and docstrings aside.

    Args:
        places: Files or folders of llmrec, relative to the package.
        modules: Dotted names of modules; what they import, directly or not, counts too (see `imported_files`).

    Raises:
        InputError: For a module that does not exist.
    """
    files = {file for place in places for file in _files(PACKAGE / place)}
    for module in modules:
        files |= imported_files(module)
    lines = sorted(f"{file.parent.name}/{file.name} {_read(file).digest}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def imported_files(module: str) -> set[Path]:
    """Returns the file of a module and the files of all modules that it imports, directly or not.

    Imports inside functions and the `__init__` of each package count. The standard library and installed packages are
    left out, and so is what changes no result in llmrec: the modules directly in it (commands, paths, errors) and the
    launchers. Nothing is imported: the files are parsed.

    Raises:
        InputError: For a module that does not exist.
    """
    root = _found(module)
    if root is None or root.file is None:
        raise InputError(
            f"_target_: there is no module {module!r}. Name a class by its module, and start the command in the folder "
            "that the module's path begins in, or add that folder to PYTHONPATH"
        )
    # A package's __init__ runs before its modules.
    waiting, seen, files = [root, *_followed(list(_with_parents(module)))], {module}, set[Path]()
    while waiting:
        current = waiting.pop()
        if current.file:
            files.add(current.file)
        names = _imported_names(current) - seen
        seen |= names
        waiting += _followed(names)
    return files


def _followed(names: Collection[str]) -> list[Module]:
    """The modules, of those that names stand for, whose code counts."""
    # Finders that packages install may import what they are asked for, so these are asked for nothing within.
    packages = {name.partition(".")[0] for name in names}
    own = {package for package in packages if (found := _found(package)) and not _is_installed(found)}
    modules = [_found(name) for name in names if name.partition(".")[0] in own]
    return [module for module in modules if module and _counts(module)]


def _counts(module: Module) -> bool:
    if module.file is None or _is_installed(module):
        return False
    return module.file.parent not in (PACKAGE, PACKAGE / "launcher")


def _is_installed(module: Module) -> bool:
    if module.file is None or module.file.is_relative_to(PACKAGE):
        return False
    return module.file.is_relative_to(STANDARD_LIBRARY) or not INSTALLED.isdisjoint(module.file.parts)


def _found(name: str) -> Module | None:
    """The module of a name; None where there is none."""
    return _find(name, tuple(sys.path))


@cache
def _find(name: str, search_path: tuple[str, ...]) -> Module | None:
    """As `_found`; the path that is searched, sys.path, is part of the cache's key."""
    locations: Iterable[str] | None = None
    spec = None
    # Part by part: importlib.util.find_spec would import the packages that hold the module.
    for part in _with_parents(name):
        spec = _spec(part, locations)
        if spec is None:
            return None
        locations = spec.submodule_search_locations or ()
    if spec is None:
        return None
    file = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
    return Module(name, file, spec.submodule_search_locations is not None)


def _spec(name: str, locations: Iterable[str] | None) -> ModuleSpec | None:
    path = None if locations is None else list(locations)
    if path == []:
        return None
    specs = (finder.find_spec(name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in specs if spec is not None), None)


def _with_parents(name: str) -> Iterator[str]:
    """a.b.c: a, a.b, a.b.c."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _imported_names(module: Module) -> set[str]:
    """Absolute names of what a module imports, packages on the way included; some name no module but a value."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    names: set[str] = set()
    for statement in _read(module.file).imports if module.file else ():
        names.update(_absolute(statement, package))
    return {part for name in names for part in _with_parents(name)}


def _absolute(statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    try:
        base = resolve_name("." * statement.level + (statement.module or ""), package)
    except ImportError:
        # A relative import that leaves its top-level package fails when it runs, too.
        return []
    return [base, *(f"{base}.{alias.name}" for alias in statement.names)]


def _files(place: Path) -> Iterable[Path]:
    return place.rglob("*.py") if place.is_dir() else [place]


@dataclass(frozen=True)
class _Code:
    """What is kept of a file: a hash of what it does, and its import statements."""

    digest: str
    imports: tuple[ast.Import | ast.ImportFrom, ...]


@cache
def _read(file: Path) -> _Code:
    content = file.read_bytes()
    if file.suffix != ".py":
        return _Code(hashlib.sha256(content).hexdigest(), ())
    try:
        syntax = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file} cannot be parsed as Python: {error}. Correct it, or remove its import") from error
    imports = tuple(node for node in ast.walk(syntax) if isinstance(node, ast.Import | ast.ImportFrom))
    return _Code(hashlib.sha256(ast.dump(_WithoutTexts().visit(syntax)).encode()).hexdigest(), imports)


class _WithoutTexts(ast.NodeTransformer):
    """Takes out docstrings and other lines that are nothing but a text."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """None takes the line out."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
