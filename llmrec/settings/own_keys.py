"""Keys that YAML files set, by which the keys of a user's own files are known."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import SettingsError

PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)


def own_keys(config: DictConfig) -> frozenset[str]:
    """Returns the dotted keys that stand in YAML files of the user's own (--config-dir).

    Args:
        config: The composed config with its hydra node, which names the folders that it was composed from.
    """
    sources = OmegaConf.select(config, "hydra.runtime.config_sources") or []
    folders = [source.path for source in sources if source.schema == "file" and source.path != conf_dir()]
    return frozenset[str]().union(*(keys_in(folder) for folder in folders))


@cache
def keys_in(folder: str) -> frozenset[str]:
    """Returns the dotted keys that the YAML files of a configuration tree set, and its groups."""
    files = sorted(Path(folder).rglob("*.yaml"))
    return frozenset(key for file in files for key in _keys_of(file, file.parent.relative_to(folder).parts))


def _keys_of(file: Path, group: tuple[str, ...]) -> Iterator[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read ({error}). Save it as UTF-8, or remove it") from error
    named = PACKAGE.search(text)
    package = named[1] if named and named[1] != "_group_" else ".".join(group)
    parts = [] if package == "_global_" else [part for part in package.split(".") if part]
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        # Hydra reports it if the file is used.
        return
    # `shared/base@_here_` sets the keys of a file in the group above its own.
    above = [".".join(parts[: length + 1]) for length in range(len(parts))] or [""]
    for place in above:
        yield place
        yield from (f"{place}.{key}" if place else key for key in _nested(content))


def _nested(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key != "defaults":
                yield str(key)
                yield from (f"{key}.{inner}" for inner in _nested(value))
