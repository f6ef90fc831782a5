"""Pretended edits of llmrec's code, and rewritten modules of a user."""

from functools import cache
from pathlib import Path

import pytest

from llmrec import code_hash, components


def edit(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Has files of the package look as if their code had changed, as in another process."""
    read = code_hash._read

    def edited(file: Path) -> code_hash._Code:
        shipped = file.is_relative_to(code_hash.PACKAGE) and components.file_name(file) in names
        return read(file)._replace(digest="edited") if shipped else read(file)

    monkeypatch.setattr(code_hash, "_read", edited)
    forget_code(monkeypatch)


def forget_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the code of components be identified anew, until the end of the test."""
    monkeypatch.setattr(components, "_code", cache(components._code.__wrapped__))


def rewrite(file: Path, source: str) -> None:
    """Rewrites a module of the user, as between two commands."""
    file.write_text(source)
    code_hash._read.cache_clear()
    components._code.cache_clear()


def users_package(root: Path, monkeypatch: pytest.MonkeyPatch, objective: str) -> Path:
    """A package `mine` of the user's own on the path, with a helper and a module of the objective."""
    package = root / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("SCALE = 1\n")
    (package / "objective.py").write_text(f"{objective}\n")
    monkeypatch.syspath_prepend(root)
    return package
