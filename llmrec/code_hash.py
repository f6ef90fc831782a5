"""Finds the files that modules import and hashes their code, for the keys of results.

Uses the standard library only.
"""

import ast
import atexit
import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import distributions
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from llmrec.errors import InputError

PACKAGE = Path(__file__).resolve().parent
PARSED = PACKAGE / "__pycache__" / "parsed.json"
"""The results of parsing, see `_parsed`."""
MAX_PARSED = 2_000
"""Most files whose results are kept; the package has about 300."""
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}
"""Names of the folders that packages are installed in, also those of another environment on PYTHONPATH. Other folders,
as of `pip install --target`, are known by the distributions in them."""


@dataclass(frozen=True)
class Module:
    """A module that was located without importing it.

    Attributes:
        name: The absolute dotted name.
        file: Its file; None for a namespace package.
        is_package: Whether it is a package, so that its relative imports start from its own name.
    """

    name: str
    file: Path | None
    is_package: bool


def imported_files(modules: Iterable[str], stop: Collection[str] = ()) -> set[Path]:
    """Returns the files of modules and of all modules that they import, directly or indirectly.

    Imports inside functions and the `__init__` of each package are included; the standard library and installed
    packages are not. The files are parsed, not imported.

    Args:
        modules: Absolute dotted names.
        stop: Names of modules and packages that are not followed where another module imports them.

    Raises:
        InputError: A module does not exist, or a file cannot be parsed.
    """
    roots = list(map(_existing, modules))
    # The __init__ of each parent package runs before a module.
    waiting = [*roots, *_own_modules({parent for root in roots for parent in _with_parents(root.name)}, stop)]
    seen, files = {root.name for root in roots}, set[Path]()
    while waiting:
        current = waiting.pop()
        if current.file:
            files.add(current.file)
        names = _imported_names(current) - seen
        seen |= names
        waiting += _own_modules(names, stop)
    return files


def file_digest(file: Path) -> str:
    """Returns a hash of a file: of a Python file its syntax tree without docstrings, else its content.

    Python 3.11, 3.12 and 3.13 give the same hash.

    Returns:
        16 hex digits.

    Raises:
        InputError: The file cannot be parsed.
    """
    return _read(file).digest


def is_module(name: str) -> bool:
    """Returns whether a dotted name is a module. Nothing is imported."""
    located = _locate(name)
    return located is not None and located.file is not None


def module_file(name: str) -> Path:
    """Returns the file of a module, which is not imported.

    Raises:
        InputError: There is no such module.
    """
    file = _existing(name).file
    assert file is not None
    return file


def _existing(name: str) -> Module:
    module = _locate(name)
    if module is None or module.file is None:
        raise InputError(
            f"_target_: there is no module {name!r}. Name the class with its module, and start the command in the "
            "folder that contains the top-level package, or add that folder to PYTHONPATH"
        )
    return module


def _own_modules(names: Iterable[str], stop: Collection[str]) -> list[Module]:
    """Returns the modules among the given names that are neither installed nor below a name in `stop`."""
    names = [name for name in names if not _is_below(name, stop)]
    # Finders of installed packages may import what they look up, so nothing inside installed packages is looked up.
    packages = {name.partition(".")[0] for name in names}
    own = {package for package in packages if (found := _locate(package)) and not _is_installed(found)}
    modules = [_locate(name) for name in names if name.partition(".")[0] in own]
    return [module for module in modules if module and module.file and not _is_installed(module)]


def _is_below(name: str, packages: Collection[str]) -> bool:
    return any(parent in packages for parent in _with_parents(name))


def _is_installed(module: Module) -> bool:
    if module.file is None or module.file.is_relative_to(PACKAGE):
        return False
    if module.file.is_relative_to(STANDARD_LIBRARY) or not INSTALLED.isdisjoint(module.file.parts):
        return True
    folder = module.file.parents[module.name.count(".") + module.is_package]
    return module.name.partition(".")[0] in _installed_in(folder)


@cache
def _installed_in(folder: Path) -> frozenset[str]:
    """Returns the names of the top-level modules and packages that distributions have installed in a folder."""
    # Without a RECORD, it is the source of an editable installation.
    installed = (found for found in distributions(path=[str(folder)]) if found.read_text("RECORD"))
    return frozenset(file.parts[0].partition(".")[0] for found in installed for file in found.files or ())


def _locate(name: str) -> Module | None:
    """Locates a module without importing it; None if there is no such module."""
    return _locate_in(name, tuple(sys.path))


@cache
def _locate_in(name: str, search_path: tuple[str, ...]) -> Module | None:
    """Does what `_locate` does; `search_path`, which is sys.path, is an argument only to be part of the cache's key."""
    locations: Iterable[str] | None = None
    spec = None
    # The name is followed part by part, since importlib.util.find_spec would import the parent packages.
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
    """Returns a dotted name after those of its parents: a, a.b, a.b.c for a.b.c."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _imported_names(module: Module) -> set[str]:
    """Returns the absolute names that a module imports with their parent packages; some are values, not modules."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    names: set[str] = set()
    for imported in _read(module.file).imports if module.file else ():
        names.update(imported.absolute(package))
    return {part for name in names for part in _with_parents(name)}


class _Import(NamedTuple):
    """An import statement.

    Attributes:
        base: What names are imported from, with the leading dots of a relative import; None for `import a, b`.
        names: The imported names.
    """

    base: str | None
    names: list[str]

    def absolute(self, package: str) -> list[str]:
        """Returns the absolute names of everything that it may import."""
        if self.base is None:
            return self.names
        try:
            base = resolve_name(self.base, package)
        except ImportError:
            # A relative import beyond the top-level package is left out, since it also fails at run time.
            return []
        return [base, *(f"{base}.{name}" for name in self.names)]


class _Code(NamedTuple):
    """The hash of a file's code and its import statements."""

    digest: str
    imports: list[_Import]


@cache
def _read(file: Path) -> _Code:
    content = file.read_bytes()
    if file.suffix != ".py":
        return _Code(_short(content), [])
    known, key = _parsed(), hashlib.sha256(content).hexdigest()
    if key not in known:
        known[key] = _parse(content, file)
    return known[key]


def _parse(content: bytes, file: Path) -> _Code:
    try:
        syntax = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{file} cannot be parsed as Python: {error}. Correct it, or remove its import") from error
    imports = [imported for node in ast.walk(syntax) for imported in _imports(node)]
    outline = json.dumps(_outline(_WithoutTexts().visit(syntax)))
    return _Code(_short(outline.encode()), imports)


@cache
def _parsed() -> dict[str, _Code]:
    """Returns the code of parsed files by the hash of their content, and has it saved when the process ends.

    Parsing all files of the package takes a second. As compiled files, the results are kept in __pycache__.
    """
    known: dict[str, _Code] = {}
    with suppress(OSError, ValueError, TypeError, KeyError):
        saved = json.loads(PARSED.read_text(encoding="utf-8"))
        # What this module computes may have changed.
        for key, digest, imports in saved["files"] if saved["by"] == _own_hash() else ():
            known[key] = _Code(digest, [_Import(*imported) for imported in imports])
    atexit.register(_save, known, len(known))
    return known


def _save(known: dict[str, _Code], saved: int) -> None:
    if len(known) == saved or sys.dont_write_bytecode:
        return
    files = [[key, *code] for key, code in known.items()][-MAX_PARSED:]
    # The package may be installed where this user cannot write.
    with suppress(OSError):
        PARSED.parent.mkdir(exist_ok=True)
        temporary = PARSED.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"by": _own_hash(), "files": files}), encoding="utf-8")
        os.replace(temporary, PARSED)


def _own_hash() -> str:
    return _short(Path(__file__).read_bytes())


def _imports(node: ast.AST) -> list[_Import]:
    """Returns the import that a node is: a statement, or a call of `import_module` or `__import__` with a text."""
    if isinstance(node, ast.Import):
        return [_Import(None, [alias.name for alias in node.names])]
    if isinstance(node, ast.ImportFrom):
        return [_Import("." * node.level + (node.module or ""), [alias.name for alias in node.names])]
    called = getattr(node, "func", None)
    if getattr(called, "attr", getattr(called, "id", None)) not in ("import_module", "__import__"):
        return []
    names = [part.value for part in getattr(node, "args", ())[:1] if isinstance(part, ast.Constant)]
    return [_imported(name) for name in names if isinstance(name, str)]


def _imported(name: str) -> _Import:
    absolute = name.lstrip(".")
    return _Import(None, [name]) if absolute == name else _Import(name[: len(name) - len(absolute)], [absolute])


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _outline(node: Any) -> Any:
    """Returns a syntax tree as lists and texts.

    Empty fields are left out because new versions of Python add fields.
    """
    if isinstance(node, ast.AST):
        fields = [[name, _outline(value)] for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *fields]
    return list(map(_outline, node)) if isinstance(node, list) else repr(node)


class _WithoutTexts(ast.NodeTransformer):
    """Removes docstrings and other statements that are only a string."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Returns None, which removes the statement, if it is only a string."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
