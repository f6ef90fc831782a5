"""Packages of extras are asked for by name before a command computes anything."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrec import diagnose, report, semantic_ids
from llmrec.errors import InputError
from llmrec.installed import require_package


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Hides an installed package."""
    find: Any = importlib.util.find_spec

    def hide(package: str) -> None:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more)
        )

    return hide


def test_an_installed_package_is_accepted() -> None:
    require_package("numpy", "none", "a test")


def test_report_names_the_extra(without: Callable[[str], None], tmp_path: Path) -> None:
    without("matplotlib")
    with pytest.raises(InputError, match=r"the report needs the package matplotlib: pip install 'llmrec\[report\]'"):
        report.write_report(["msl_accuracy"], "smoke", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "package", "extra", "arguments"),
    [
        (diagnose, "matplotlib", "report", ["run=runs/none"]),
        (semantic_ids, "sklearn", "semantic-ids", ["dataset=games", "out=games.index.json"]),
    ],
)
def test_commands_name_the_extra(
    command: Any,
    package: str,
    extra: str,
    arguments: list[str],
    without: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["llmrec", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert f"needs the package {package}: pip install 'llmrec[{extra}]'" in capsys.readouterr().err
