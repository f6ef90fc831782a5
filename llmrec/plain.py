"""Configs as plain containers, which JSON, hashes and other processes take. OmegaConf only."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def plain(config: DictConfig | ListConfig) -> dict[str, Any]:
    """The resolved config, one of keys, as dicts and lists."""
    found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
