"""Only the folder tasks decides what depends on the task of a run."""

import ast
from pathlib import Path

import llmrec

PACKAGE = Path(llmrec.__file__).parent
NAMES = {"next_item", "rerank", "candidates"}


def test_no_other_module_compares_the_name_of_a_task() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and _names_a_task(node)
    }
    assert {name for name in found if not name.startswith("tasks/")} == set()


def test_a_comparison_is_found() -> None:
    assert _names_a_task(ast.parse("config.task.name == 'rerank'", mode="eval").body)
    assert not _names_a_task(ast.parse("config.task.name == other.task.name", mode="eval").body)


def _names_a_task(node: ast.AST) -> bool:
    """Returns whether one side of a comparison is the name of a task that ships with llmrec."""
    # The relevance of candidates has a value of the same name.
    if not isinstance(node, ast.Compare) or "task" not in ast.unparse(node):
        return False
    # A task has a setting called candidates, which a group of settings may contain.
    if isinstance(node.ops[0], ast.In | ast.NotIn):
        return False
    return any(isinstance(side, ast.Constant) and side.value in NAMES for side in (node.left, *node.comparators))
