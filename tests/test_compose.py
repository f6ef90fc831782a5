"""`compose_run` returns what Hydra composes, or raises what Hydra raises."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from omegaconf.base import ContainerMetadata, Node

from llmrec.compose import compose_run, shipped_config
from llmrec.conf_dir import conf_dir
from llmrec.plain import plain
from llmrec.tables.planned_runs import table_positions
from llmrec.tables.read_table import SHIPPED, shipped_table
from llmrec.training.stages import stage_overrides
from tests.tiers import rest_slow


def table_runs(every: bool) -> set[tuple[str, ...]]:
    """The overrides of the tables' runs: of all, or at scale=smoke of one for each row."""
    tables = [
        (table, scale) for table in map(shipped_table, SHIPPED) for scale in table.presets if every or scale == "smoke"
    ]
    found: dict[Any, tuple[str, ...]] = {}
    for table, scale in tables:
        for position in table_positions(table, scale):
            found.setdefault(position.overrides if every else (table.name, position.row.name), position.overrides)
    return set(found.values())


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    """Hydra, initialized with the shipped YAML files."""
    with shipped_config():
        yield


@pytest.mark.parametrize("every", rest_slow([False, True], kept=0))
def test_runs_of_the_tables_and_their_stages(every: bool) -> None:
    configs = [assert_equal(overrides) for overrides in table_runs(every)]
    for overrides in {tuple(stage) for config in configs for stage in stage_overrides(config).values()}:
        assert_equal(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=1", "seed=2"],
        ["objective=gdrt", "objective/token_loss=sft", "objective.token_loss={}"],
        ["+objective.step=4", "++objective.temperature=2", "~trainer.clip"],
        ["+extra={a: 1, b: [2, 3]}", "++dataset.simulator={titles: 9}"],
        ["dataset={name: other}"],
        ["+dataset@second=office", "second.name=x"],
        ["experiment=search", "seed='${trainer.epochs}'"],
        ["objective=rosepo", "~objective/rejected"],
        ["task=rerank", "decoding='permutation'", "evaluation.splits=[valid]"],
        ["hydra.job.name=a", "seed=3"],
        ["hydra.job.env_copy=[PATH]", "launcher=gpus"],
    ],
)
def test_forms_of_overrides(overrides: list[str]) -> None:
    assert_equal(overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["objectve=msl"],
        ["objective=mls"],
        ["objective.temprature=1"],
        ["seed=1,2"],
        ["seed=[1"],
        ["+seed=1"],
        ["++objective=msl"],
        ["~seed=1"],
        ["~trainer.none"],
        ["objective@other=msl"],
        ["seed@other=1"],
        ["seed.x=1"],
        ["objective=3"],
    ],
)
def test_errors(overrides: list[str]) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever Hydra raises
        compose("config", overrides)
    with pytest.raises(type(expected.value)) as raised:
        compose_run(overrides)
    assert str(raised.value) == str(expected.value)


def test_changed_settings_do_not_reach_the_next_config() -> None:
    first = compose_run(["objective=sdpo"])
    first.objective.max_epochs = 99
    first.hydra.runtime.choices.objective = "changed"
    assert_equal(["objective=sdpo"])


def test_environment_variables_and_the_working_directory_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose_run([])
    monkeypatch.setenv("LLMREC_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert assert_equal([]).paths.data == str(tmp_path)


def test_yaml_files_of_the_user(tmp_path: Path) -> None:
    own = tmp_path / "objective" / "own.yaml"
    own.parent.mkdir()
    (tmp_path / "size").mkdir()
    (tmp_path / "size" / "large.yaml").write_text("# @package _global_\nseed: 5\n")
    for temperature in (7, 8):
        own.write_text(f"defaults: [msl, _self_]\ntemperature: {temperature}\n")
        with config_dir(tmp_path):
            config = assert_equal(["objective=own", "+size=large", "objective.eta=0.2"])
            assert (config.seed, config.objective.temperature) == (5, temperature)


@contextmanager
def config_dir(folder: Path) -> Iterator[None]:
    """Initializes Hydra as --config-dir does."""
    search = create_config_search_path(conf_dir())
    search.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    with mock.patch.object(GlobalHydra.instance(), "hydra", Hydra("app", ConfigLoaderImpl(search))):
        yield


def assert_equal(overrides: Sequence[str]) -> DictConfig:
    """Checks that a config equals the one that Hydra composes, and returns it."""
    config, expected = compose_run(overrides), compose("config", list(overrides), return_hydra_config=True)
    assert structure(config) == structure(expected)
    assert settings(config) == settings(expected)
    return config


def settings(config: DictConfig) -> dict[str, Any]:
    """Returns the resolved settings of a run, of whatever value."""
    groups = {str(key): config[key] for key in config if key != "hydra"}
    return {key: plain(group) if isinstance(group, DictConfig) else group for key, group in groups.items()}


def structure(node: Node) -> Any:
    """Returns all that a config holds, unresolved, with its types and flags; not the time at which it was composed."""
    metadata = copy.copy(node._metadata)
    if isinstance(metadata, ContainerMetadata):
        metadata.resolver_cache = {}
    content: Any = node._value()
    if isinstance(content, dict):
        content = {key: (structure(child), child._get_parent() is node) for key, child in content.items()}
    elif isinstance(content, list):
        content = [(structure(child), child._get_parent() is node) for child in content]
    return type(node), content, metadata
