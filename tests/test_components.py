"""Which code keys hold: versions of components, edited files, modules of the user."""

from pathlib import Path

import pytest

from llmrec import components
from llmrec.code_hash import PACKAGE
from llmrec.components import (
    COMPONENTS,
    INFRASTRUCTURE,
    NO_RESULT,
    canonical,
    code,
    component_files,
    digest,
    file_name,
)
from llmrec.versions import VERSIONS
from tests.code_changes import edit, forget_code, rewrite, users_package

OUTSIDE = {
    "catalogue/item_file.py": "finds a file, whose content is part of the key",
    "datasets/history_file.py": "reads histories to recommend for, whose content is part of a request's key",
    "datasets/readers/auto.py": "selects a reader, which is a component",
    "datasets/readers/build.py": "builds readers",
    "decoding/list_length.py": "sets a setting of the decoder, which is part of the key",
    "decoding/title_scores.py": "scores titles that the Python API is given",
    "evaluation/record.py": "writes and reads files",
    "exporting": "writes copies of what runs made",
    "quantization": "makes files of item tokens, whose content is part of the key",
    "serve": "answers requests, which belong to no run",
    "tables": "reads records",
    "training/assistant.py": "finds and opens the baseline of a decoder, which is part of the key",
    "training/evaluate_run.py": "has tasks rank and measure, and writes what they return",
    "training/in_process.py": "composes a run and has it completed",
    "training/exported.py": "opens copies of what runs made",
    "training/loggers.py": "writes what was logged",
    "training/measure_again.py": "has tasks measure",
    "training/overrides.py": "reads the command line",
    "training/plan.py": "plans what is missing",
    "training/provenance.py": "describes the machine",
    "training/ranking_settings.py": "reads stored settings, which are part of the ranking's key",
    "training/rank.py": "starts a rank",
    "training/ranks.py": "starts ranks, which compute the same as one process",
    "training/recommended_file.py": "writes recommendations, which belong to no run",
    "training/recommending.py": "has rankers rank, and names what they return",
    "training/recommending_workers.py": "divides recommending among processes",
    "training/run_configuration.py": "decides what is missing",
    "training/work.py": "calls training and evaluation",
}
"""Modules and folders that belong to no component and that no component imports, with the reason."""


def test_every_component_has_a_version() -> None:
    assert COMPONENTS.keys() == VERSIONS.keys()


def test_every_module_belongs_to_a_component_or_has_a_reason() -> None:
    covered = {file_name(file) for name in COMPONENTS for file in component_files(name)}
    reasons = {name.removeprefix("llmrec.").replace(".", "/") for name in NO_RESULT} | {
        name.removesuffix(".py") for name in OUTSIDE
    }
    names = {file_name(file) for file in PACKAGE.rglob("*.py") if has_code(file)} - covered
    missing = {name for name in names if not any(f"{name.removesuffix('.py')}/".startswith(f"{r}/") for r in reasons)}
    assert missing == set()


@pytest.mark.parametrize("name", sorted({*NO_RESULT, *(f"llmrec/{place}" for place in OUTSIDE)}))
def test_every_reason_is_of_a_module_that_exists(name: str) -> None:
    path = PACKAGE.parent / (name if "/" in name else name.replace(".", "/"))
    assert path.exists() or path.with_suffix(".py").exists()


def test_infrastructure_is_in_no_component() -> None:
    files = {file_name(file) for name in COMPONENTS for file in component_files(name)}
    stopped = {name.removeprefix("llmrec.").replace(".", "/") for name in INFRASTRUCTURE}
    assert [name for name in files if name.removesuffix(".py") in stopped or name.split("/")[0] in stopped] == []


def test_a_component_that_builds_on_another_has_its_version_too() -> None:
    versions = code((), ["llmrec.objectives.rejected.self_hard"]).versions
    assert {"objectives.rejected.self_hard", "decoding.catalogue_decoder"} <= versions.keys()
    assert "objectives.msl" not in versions
    assert {"objectives.oracle", "baselines.sasrec", "objectives.msl"} <= code(
        (), ["llmrec.objectives.rosepo"]
    ).versions.keys()


def test_verified_code_is_known_by_its_version_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    verify(monkeypatch)
    found = code(["training"], ["llmrec.objectives.msl"])
    assert found.edited == found.own == {}
    assert found.versions["objectives.msl"] == VERSIONS["objectives.msl"]


def test_an_edited_file_is_named_and_has_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    verify(monkeypatch)
    edit(monkeypatch, "objectives/msl.py")
    assert code((), ["llmrec.objectives.msl"]).edited == {"objectives/msl.py": "edited"}
    assert code((), ["llmrec.objectives.sft"]).edited == {}


def test_a_higher_version_is_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    verify(monkeypatch)
    before = digest(code((), ["llmrec.objectives.msl"]))
    monkeypatch.setitem(components.VERSIONS, "objectives.msl", 99)
    forget_code(monkeypatch)
    assert digest(code((), ["llmrec.objectives.msl"])) != before


def test_code_of_the_user_is_own_code_with_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(monkeypatch)
    package = users_package(tmp_path, monkeypatch, "from mine.helper import SCALE\nfrom llmrec.objectives import msl")
    found = code((), ["mine.objective"])
    assert found.own.keys() == {"mine/__init__.py", "mine/helper.py", "mine/objective.py"}
    assert found.versions["objectives.msl"] == VERSIONS["objectives.msl"]
    rewrite(package / "helper.py", "SCALE = 3\n")
    assert code((), ["mine.objective"]).own["mine/helper.py"] != found.own["mine/helper.py"]


def test_the_init_of_a_users_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = users_package(tmp_path, monkeypatch, "SCALE = 1")
    before = code((), ["mine.objective"])
    rewrite(package / "__init__.py", "import random\n\nrandom.seed(3)\n")
    assert code((), ["mine.objective"]) != before


def test_what_a_user_imports_beyond_the_components_counts_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify(monkeypatch)
    users_package(tmp_path, monkeypatch, "from llmrec.quantization import residual_kmeans")
    assert "quantization/residual_kmeans.py" in code((), ["mine.objective"]).own


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"trainer": {"weight_decay": 0}}, {"trainer": {"weight_decay": 0.0}}),
        ({"trainer": {"clip": 1}}, {"trainer": {"clip": 1.0}}),
        ({"seed": 42}, {"seed": 42.0}),
        ({"objective": {"bounds": [1.5, 5]}}, {"objective": {"bounds": (1.5, 5.0)}}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_equal_settings_have_one_digest(one: dict[str, object], other: dict[str, object]) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": None}, {}),
        ({"a": 0.1}, {"a": 0.2}),
    ],
)
def test_other_settings_have_another_digest(one: dict[str, object], other: dict[str, object]) -> None:
    assert digest(one) != digest(other)


def test_a_setting_added_later_with_its_neutral_value_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(components.NEUTRAL, "objective.margin", 0.0)
    assert canonical({"objective": {"margin": 0, "eta": 2.0}}) == {"objective": {"eta": 2}}
    assert canonical({"objective": {"margin": 0.5}}) == {"objective": {"margin": 0.5}}
    assert canonical({"trainer": {"margin": 0}}) == {"trainer": {"margin": 0}}


def verify(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has today's code count as verified."""
    files = {file for name in COMPONENTS for file in component_files(name)}
    monkeypatch.setattr(components, "VERIFIED", {file_name(file): components.file_digest(file) for file in files})
    forget_code(monkeypatch)


def has_code(file: Path) -> bool:
    """Whether a file holds more than a docstring."""
    return file.name != "__init__.py" or len(file.read_text(encoding="utf-8").splitlines()) > 1
