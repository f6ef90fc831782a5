"""Composes configs of runs as Hydra does, but once for each combination of groups.

Hydra takes about 100 ms to compose a config, nearly all of it for the defaults list and the YAML files, which depend on
the chosen groups alone. The config of these groups is therefore composed once while Hydra is initialized, and Hydra's
own functions apply the other overrides to a copy.
"""

import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from llmrec.conf_dir import conf_dir

CONFIG_NAME = "config"

_COMPOSED: WeakKeyDictionary[ConfigLoaderImpl, dict[tuple[str, ...], bytes]] = WeakKeyDictionary()
"""Pickled configs of each initialization of Hydra, by the overrides that choose groups. Unpickling takes a third of the
time of a deep copy."""


def compose_run(overrides: Sequence[str]) -> DictConfig:
    """Composes the config of a run, with its hydra node; equal to that of `hydra.compose`.

    Hydra must be initialized. As long as it is, YAML files that were read are not read again.

    Args:
        overrides: The arguments of `python -m llmrec.run`.

    Raises:
        HydraException: The overrides cannot be composed. The message is Hydra's own.
    """
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    parsed = [_parsed(override) for override in overrides]
    groups = [override for override in parsed if _chooses_group(override, loader)]
    if not any(override.is_sweep_override() or override.is_hydra_override() for override in parsed):
        config = _composed_groups(tuple(str(override.input_line) for override in groups), loader)
        # With these settings, composing reads more than the YAML files of the groups.
        if not (config.hydra.searchpath or config.hydra.job.env_copy):
            ConfigLoaderImpl._apply_overrides_to_config([other for other in parsed if other not in groups], config)
            _record_overrides(config, parsed)
            return config
    return compose(CONFIG_NAME, list(overrides), return_hydra_config=True)


@contextmanager
def shipped_config() -> Iterator[None]:
    """Initializes Hydra with the YAML files that ship with llmrec, which a process reads only once."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        GlobalHydra.instance().hydra = _first_initialized()
        yield


@contextmanager
def config_folders(config_dir: Path | None) -> Iterator[None]:
    """Initializes Hydra with llmrec's YAML files and those of a folder of the user's own.

    A caller may have initialized Hydra for an application of its own, which is as before after the block.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with shipped_config():
            if config_dir is not None:
                search_path = create_config_search_path(conf_dir())
                # As Hydra does for --config-dir, by whose name commands of stages get the folder.
                search_path.prepend("command-line", f"file://{config_dir.resolve()}", anchor="schema")
                GlobalHydra.instance().clear()
                Hydra.create_main_hydra2("llmrec", search_path)
            yield
    finally:
        GlobalHydra.instance().hydra = outer


@cache
def _first_initialized() -> Hydra | None:
    return GlobalHydra.instance().hydra


@cache
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_overrides([override])[0]


def _chooses_group(override: Override, loader: ConfigLoaderImpl) -> bool:
    return loader.repository.group_exists(override.key_or_group) and not isinstance(override.value(), dict)


def _composed_groups(groups: tuple[str, ...], loader: ConfigLoaderImpl) -> DictConfig:
    """Returns a new copy of the config of the chosen groups."""
    composed = _COMPOSED.setdefault(loader, {})
    if groups not in composed:
        config = compose(CONFIG_NAME, list(groups), return_hydra_config=True)
        # The cache holds the time of composing, for ${now:...}.
        OmegaConf.clear_cache(config)
        composed[groups] = pickle.dumps(config, pickle.HIGHEST_PROTOCOL)
    copied = pickle.loads(composed[groups])
    assert isinstance(copied, DictConfig)
    return copied


def _record_overrides(config: DictConfig, parsed: Sequence[Override]) -> None:
    """Sets what Hydra records of a command in the config's hydra node."""
    config.hydra.overrides.task = [override.input_line for override in parsed]
    config.hydra.runtime.cwd = os.getcwd()
    style = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        list(parsed), style.exclude_keys, style.item_sep, style.kv_sep
    )
