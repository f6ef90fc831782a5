"""Classes, groups and keys of the user's own are checked, or known, as the shipped ones are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from llmrec.conf_dir import conf_dir
from llmrec.errors import SettingsError
from llmrec.settings.check import check_classes
from llmrec.training.run_folder import resolved_config

MODULE = """
from typing import Annotated, Literal

from pydantic import Field

from llmrec.objectives.sft import SFT


class Own(SFT):
    def __init__(self, margin: Annotated[float, Field(gt=0, le=2)], kind: Literal["a", "b"] = "a", parts: list = ()):
        super().__init__()

    @classmethod
    def validate(cls, settings):
        if settings["kind"] == "b" and settings["margin"] > 1:
            raise ValueError(f"margin={settings['margin']}: give at most 1 with kind=b")


class Part:
    def __init__(self, size: int, unresolved: "Nowhere" = None, **others):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A --config-dir with an objective, a group and keys of the user's own."""
    files = {
        "objective/own.yaml": "_target_: own_settings.Own\nmargin: 1.0\nkind: a\nparts: []\n",
        "mine/one.yaml": "size: 3\ninner: {depth: 2}\n",
        "dataset/shop.yaml": "defaults:\n  - games\n  - _self_\nname: shop\nregion: north\n",
        "experiment/extra.yaml": "# @package _global_\nnote: text\ntrainer: {own_key: 1}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own_settings.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def check(folder: Path, overrides: Sequence[str]) -> None:
    """Checks a command's settings as a run does."""
    search = f"hydra.searchpath=[file://{folder}]"
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        check_classes(resolved_config(compose("config", [*overrides, search], return_hydra_config=True)))


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=own", "objective.margin=2"],
        ["+mine=one", "mine.size=4"],
        ["dataset=shop", "dataset.region=south"],
        ["experiment=extra", "trainer.own_key=2", "note=other"],
        ["objective=own", "objective.parts=[{_target_: own_settings.Part, size: 1, other: 2}]"],
        ["+mine=one", "+mine.part={_target_: own_settings.Part, size: 1, _partial_: true}"],
    ],
)
def test_own_groups_and_keys_are_known(overrides: list[str], folder: Path) -> None:
    check(folder, overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=own", "objective.margin=3"], "objective.margin=3: give a number above 0 and at most 2"),
        (["objective=own", "objective.kind=c"], "objective.kind=c: choose one of a, b"),
        (["objective=own", "objective.kind=b", "objective.margin=1.5"], "objective.margin=1.5: give at most 1 with"),
        (["objective=own", "+objective.margn=1"], "objective.margn: did you mean objective.margin?"),
        (["objective=own", "~objective.margin"], "objective.margin is not set"),
        (
            ["objective=own", "objective.parts=[{_target_: own_settings.Part, size: x}]"],
            "objective.parts.0.size=x: give a whole number",
        ),
        (
            ["objective=own", "objective.parts=[{_target_: own_settings.No}]"],
            "parts.0._target_=own_settings.No",
        ),
        (["dataset=shop", "+dataset.regoin=south"], "dataset.regoin: did you mean dataset.region?"),
        (["+region=north"], "region: there is no such setting"),
    ],
)
def test_settings_of_own_classes_and_unknown_keys_are_refused(overrides: list[str], message: str, folder: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        check(folder, overrides)
    assert message in str(refused.value)
