"""Every component has golden values of its present version, made by the present code, for each of its choices."""

import importlib
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from llmrec.code_hash import file_digest
from llmrec.components import COMPONENT_OF, COMPONENTS, component_files, file_name
from llmrec.conf_dir import conf_dir
from llmrec.versions import VERIFIED
from tests.golden.cases import RUNS, Case
from tests.golden.direct import COMPONENTS as DIRECT
from tests.golden.stored import differences, read_stored, stored_file
from tests.golden.update import NO_VALUES
from tests.golden.values import Golden

WITH_VALUES = [name for name in COMPONENTS if name not in NO_VALUES]
NO_COMPONENT = {
    "llmrec.datasets.readers.auto": "selects another reader",
}
"""Modules of shipped classes that are no components, with the reason."""


def shipped_targets() -> list[str]:
    """The classes that shipped YAMLs name as `_target_`."""
    found: list[str] = []

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            found.extend([node["_target_"]] if "_target_" in node else [])
            for value in node.values():
                collect(value)

    for file in Path(conf_dir()).rglob("*.yaml"):
        collect(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
    return found


def choices() -> Iterator[tuple[str, str, Any]]:
    """Yields the component, the name and each value, other than the default, of arguments with a choice of values."""
    for target in sorted(set(shipped_targets())):
        module, _, name = target.rpartition(".")
        if module in COMPONENT_OF:
            constructor = getattr(importlib.import_module(module), name).__init__
            hints = typing.get_type_hints(constructor)
            for argument, parameter in inspect.signature(constructor).parameters.items():
                for value in values_of(hints.get(argument)):
                    if value != parameter.default:
                        yield COMPONENT_OF[module], argument, value


def values_of(hint: Any) -> tuple[Any, ...]:
    """The values of a type with few of them."""
    if hint is bool:
        return (False, True)
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """The golden runs of this process."""
    return Golden(tmp_path_factory.mktemp("golden"))


@pytest.mark.slow
@pytest.mark.parametrize("component", WITH_VALUES)
def test_values_are_those_stored(component: str, golden: Golden) -> None:
    differing = differences(read_stored(component), golden.values(component))
    assert not differing, "\n".join(map(str, differing))


def test_the_code_is_that_whose_values_are_stored() -> None:
    present = {file_name(file): file_digest(file) for name in COMPONENTS for file in component_files(name)}
    changed = sorted(name for name in present | VERIFIED if present.get(name) != VERIFIED.get(name))
    assert not changed, f"run make golden, and commit llmrec/versions.py: {', '.join(changed)}"


def test_every_component_has_values_of_its_version() -> None:
    assert [name for name in WITH_VALUES if not stored_file(name).exists()] == []


def test_stored_values_are_of_components() -> None:
    names = {file.stem.rpartition(".")[0] for file in (Path(__file__).parent / "values").glob("*.json")}
    assert names == set(WITH_VALUES)


def test_every_shipped_class_belongs_to_a_component() -> None:
    modules = {target.rpartition(".")[0] for target in shipped_targets() if not target.startswith("hydra_plugins.")}
    assert modules - COMPONENT_OF.keys() == NO_COMPONENT.keys()


NOT_RUN = {
    "adapter=qlora": "needs a GPU",
    "baseline=none": "what every run of a language model has",
    "decoding=candidates": "what every run of task candidates has",
    "decoding=permutation": "what every run of rerank has",
    "decoding=trie": "what every run of next_item has",
    "items=titles": "what every run has that names no other items",
    "objective/token_loss=sft": "what gdrt has that names no other loss",
    "trainer=single": "what every run on one rank has",
}
"""Options that no golden run names, with the reason."""


@pytest.mark.parametrize(
    "group",
    [
        "adapter", "baseline", "decoding", "items", "objective", "objective/rejected", "objective/token_loss", "task",
        "trainer",
    ],
)  # fmt: skip
def test_every_option_has_a_golden_run(group: str) -> None:
    cases = [case for cases in RUNS.values() for case in cases.values()]
    words = {word for case in cases for text in (case.settings, *texts(case)) for word in text.split()}
    options = {f"{group}={file.stem}" for file in (Path(conf_dir()) / group).glob("*.yaml")}
    assert options - words == NOT_RUN.keys() & options


@pytest.mark.parametrize(("component", "argument", "value"), list(choices()))
def test_every_choice_has_a_golden_run(component: str, argument: str, value: Any) -> None:
    word = f"{argument}={str(value).lower()}"
    if component in DIRECT:
        assert word in (read_stored(component) or {})
        return
    assert any(f".{word}" in text or f"{word} " in text for case in RUNS[component].values() for text in texts(case))


def texts(case: Case) -> list[str]:
    """The overrides of a case."""
    # The option decoding=vocab sets decoding.scores=vocab.
    return [
        text.replace("decoding=vocab", "decoding=vocab decoding.scores=vocab ")
        for text in (case.own, *case.evaluations.values())
    ]
