"""Conversion of configs to plain containers, for JSON, hashing and pickling. Imports only OmegaConf."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def plain(config: DictConfig | ListConfig) -> dict[str, Any]:
    """Returns a config, whose root must be a mapping, as nested dicts and lists with interpolations resolved."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
