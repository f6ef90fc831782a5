"""The package's folders build on each other in one direction, but for a few pairs that are named here."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import llmrec

PACKAGE = Path(llmrec.__file__).parent
MODULES = {
    ".".join(("llmrec", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}
MUTUAL: set[tuple[str, str]] = set()
"""Folders that import each other. None is added."""


def test_folders_import_each_other_only_where_named() -> None:
    assert mutual_pairs() == MUTUAL


def test_only_commands_import_the_launcher() -> None:
    importing = {name for name in MODULES if any(folder(other) == "launcher" for other in _imported_anywhere(name))}
    assert {folder(name) for name in importing} - {"launcher"} == {"run", "reproduce"}


def test_no_modules_import_each_other_when_they_are_loaded() -> None:
    # Raises CycleError, which names the modules of a cycle.
    TopologicalSorter({name: imported(name, at_load(tree(name))) for name in MODULES}).prepare()


def mutual_pairs() -> set[tuple[str, str]]:
    """The folders that import each other, anywhere: in functions and for type checkers too."""
    pairs = {(folder(name), folder(other)) for name in MODULES for other in _imported_anywhere(name)}
    return {(one, other) for one, other in pairs if one < other and (other, one) in pairs}


def imported(name: str, nodes: Iterator[ast.AST]) -> set[str]:
    """The package's modules that the import statements among the nodes name, but for the module itself."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{name}: a relative import"
            # An imported name may be a module of the folder that it is imported from.
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= modules or {node.module}
    return (found & MODULES.keys()) - {name}


def folder(name: str) -> str:
    """The folder of a module below the package; the module itself where it lies in the package."""
    return name.split(".")[1] if "." in name else ""


def tree(name: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def _imported_anywhere(name: str) -> set[str]:
    return imported(name, ast.walk(tree(name)))


def at_load(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when a module is loaded: none in functions, none for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not typing_only and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_load(child)
