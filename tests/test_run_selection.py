"""The argument run=: a folder, a list or a pattern names runs."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.run_selection import selected_runs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """runs/games with the runs msl/1, msl/2 and sft/3, each with Hydra's own config below it."""
    monkeypatch.chdir(tmp_path)
    for name in ("msl/1", "msl/2", "sft/3"):
        (tmp_path / "runs" / "games" / name / ".hydra").mkdir(parents=True)
        for folder in ("", ".hydra", "wandb"):
            (tmp_path / "runs" / "games" / name / folder).mkdir(exist_ok=True)
            (tmp_path / "runs" / "games" / name / folder / "config.yaml").touch()
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("runs/games/msl/2", ["msl/2"]),
        ("runs/games/msl/2/", ["msl/2"]),
        ("runs", ["msl/1", "msl/2", "sft/3"]),
        ("runs/games/sft/3,runs/games/msl/1", ["sft/3", "msl/1"]),
        ("[runs/games/sft/3, runs/games/msl]", ["sft/3", "msl/1", "msl/2"]),
        ("runs/games/m*", ["msl/1", "msl/2"]),
        ("runs/*/*/[13]", ["msl/1", "sft/3"]),
    ],
)
def test_runs_are_named_by_folder_list_or_pattern(runs: Path, text: str, names: list[str]) -> None:
    assert selected_runs(text) == [Path("runs/games") / name for name in names]


def test_a_folder_may_have_a_comma_in_its_name(runs: Path) -> None:
    (runs / "games").rename(runs / "games, [all]")
    assert len(selected_runs("runs/games, [all]")) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "run=: there is no such folder"),
        ("runs/office", "run=runs/office: there is no such folder. Give run=runs/<...>/<key>"),
        ("runs/games/msl/1,runs/office", "run=runs/games/msl/1,runs/office: runs/office: there is no such folder"),
        ("runs/o*", r"run=runs/o\*: the pattern matches no folder of a run"),
        ("empty", "run=empty: the folder contains no run"),
    ],
)
def test_what_names_no_run_is_refused(runs: Path, text: str, says: str) -> None:
    (runs.parent / "empty" / ".hydra").mkdir(parents=True)
    (runs.parent / "empty" / ".hydra" / "config.yaml").touch()
    with pytest.raises(InputError, match=says):
        selected_runs(text)
