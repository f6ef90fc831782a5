"""Every shipped YAML composes, fits what it targets, and begins with the command that uses it."""

import importlib
import inspect
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from llmrec.compose import compose_run, shipped_config
from llmrec.conf_dir import conf_dir
from llmrec.objectives.base import Objective
from llmrec.training.run_folder import resolved_config
from tests.tiers import rest_slow

CONF = Path(conf_dir())
FILES = sorted(file.relative_to(CONF).as_posix() for file in CONF.rglob("*.yaml"))
GROUPED = [file for file in FILES if file not in ("config.yaml", "dataset/shared/base.yaml")]
NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD
OBJECTIVES = [file for file in FILES if Path(file).parent.name == "objective"]
PLUGINS = [file for file in FILES if Path(file).parent.name in ("rejected", "oracle", "baseline", "reader")]
WITHIN = {
    "objective/token_loss": ["objective=gdrt"],
    "objective/rejected": ["objective=rosepo"],
    "objective/oracle": ["objective=rosepo"],
}
"""What must be chosen before a group that stands inside another."""


PAIRED = ("dataset", "objective", "adapter")


def options(group: str) -> list[str]:
    """The shipped options of a config group."""
    return [Path(file).stem for file in GROUPED if Path(file).parent.as_posix() == group]


# Those of PAIRED are composed with one another below.
@pytest.mark.parametrize("file", [file for file in GROUPED if str(Path(file).parent) not in PAIRED])
def test_option_composes_and_resolves(file: str) -> None:
    group, _, option = file.removesuffix(".yaml").rpartition("/")
    assert plain(*WITHIN.get(group, []), f"{group}={option}").keys() >= {"dataset", "objective", "trainer", "seed"}


def every_pair() -> list[tuple[str, str, str]]:
    """Datasets, objectives and adapters so that each option meets each of the other two groups' options."""
    datasets, objectives, adapters = map(options, PAIRED)
    met = [
        (dataset, objective, adapters[(d + o) % len(adapters)])
        for (d, dataset), (o, objective) in product(enumerate(datasets), enumerate(objectives))
    ]
    assert {pair[1:] for pair in met} == set(product(objectives, adapters))
    assert {pair[::2] for pair in met} == set(product(datasets, adapters))
    return met


@pytest.mark.parametrize(("dataset", "objective", "adapter"), rest_slow(every_pair(), kept=len(options("objective"))))
def test_datasets_objectives_and_adapters_compose_with_one_another(dataset: str, objective: str, adapter: str) -> None:
    config = plain(f"dataset={dataset}", f"objective={objective}", f"adapter={adapter}")
    assert (config["dataset"]["name"], config["adapter"]["name"]) == (dataset, adapter)
    assert config["trainer"]["learning_rate"] == config["adapter"]["learning_rate"]


@pytest.mark.parametrize("file", FILES)
def test_first_line_holds_the_command_that_uses_the_file(file: str) -> None:
    first = (CONF / file).read_text(encoding="utf-8").splitlines()[:2]
    command = next((line for line in first if "python -m llmrec.run " in line), None)
    assert command is not None
    assert "#" in command
    if file in GROUPED and not file.startswith("experiment/"):
        group, _, option = file.removesuffix(".yaml").rpartition("/")
        assert f"{group}={option}" in command


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith(("objective/", "stage/", "scale/"))])
def test_command_of_the_file_can_be_parsed(file: str) -> None:
    command = next(line for line in (CONF / file).read_text().splitlines() if "python -m llmrec.run " in line)
    arguments = command.partition("llmrec.run ")[2].split()
    assert arguments
    OverridesParser.create().parse_overrides(arguments)
    with shipped_config():
        compose_run(arguments)


@pytest.mark.parametrize("file", OBJECTIVES)
def test_keys_of_an_objective_are_the_arguments_of_its_class(file: str) -> None:
    settings, chosen = settings_of(file)
    module, _, name = settings.pop("_target_").rpartition(".")
    target: type[Objective] = getattr(importlib.import_module(module), name)
    # A class without a constructor of its own has nn.Module's (*args, **kwargs), and takes nothing.
    parameters = [known for known in inspect.signature(target).parameters.values() if known.kind == NAMED]
    # What has no default is chosen by a group of its own.
    assert {known.name for known in parameters if known.default is inspect.Parameter.empty} == chosen
    assert {known.name: _listed(known.default) for known in parameters if known.name not in chosen} == settings


@pytest.mark.parametrize("file", PLUGINS)
def test_keys_of_a_plugin_are_arguments_of_its_class(file: str) -> None:
    settings, chosen = settings_of(file)
    if "_target_" not in settings:
        assert file == "baseline/none.yaml"
        return
    module, _, name = settings.pop("_target_").rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert (settings.keys() | chosen) - {"name"} == parameters.keys()


def test_stage_names_overrides_that_compose() -> None:
    for stage in options("stage"):
        for overrides in plain(f"stage={stage}")["stage"].values():
            assert plain(*(overrides if isinstance(overrides, list) else []))["objective"]


@pytest.mark.parametrize("objective", ["dpo", "cdpo", "sdpo", "rosepo"])
def test_preference_objectives_start_from_sft_unless_told_otherwise(objective: str) -> None:
    assert plain(f"objective={objective}")["stage"]["start"] == ["objective=sft"]
    assert plain(f"objective={objective}", "stage=none")["stage"]["start"] is None


def settings_of(file: str) -> tuple[dict[str, Any], set[str]]:
    """The keys of a YAML, and those that it chooses from groups."""
    settings = OmegaConf.to_container(OmegaConf.load(CONF / file))
    assert isinstance(settings, dict)
    listed = [entry for entry in settings.pop("defaults", []) if entry != "_self_"]
    named = [str(next(iter(entry))) if isinstance(entry, dict) else entry.partition("@")[2] for entry in listed]
    chosen = {name for name in named if not name.startswith("override ") and name != "_here_"}
    return {str(key): value for key, value in settings.items()}, chosen


def plain(*overrides: str) -> dict[str, Any]:
    """The composed and resolved config."""
    with shipped_config():
        return resolved_config(compose_run(overrides))


def _listed(default: Any) -> Any:
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("backbone", options("backbone"))
def test_pretrained_backbones_are_tuned_with_lora_unless_asked_otherwise(backbone: str) -> None:
    with shipped_config():
        default, asked = (compose_run([f"backbone={backbone}", *more]).adapter.name for more in ([], ["adapter=none"]))
    assert (default, asked) == ("none" if backbone == "tiny" else "lora", "none")
