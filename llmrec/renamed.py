"""Settings that were renamed, so that an old name is refused with the new one."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from llmrec.errors import InputError

RENAMED = {
    "objective.most_epochs": "objective.max_epochs",
    "baseline.most_epochs": "baseline.max_epochs",
    "hydra.sweeper.at_once": "hydra.sweeper.parallel_trials",
}
"""New name of each setting that was renamed since the last version."""


def refuse_renamed_overrides(overrides: Sequence[str]) -> None:
    """Refuses command-line overrides of settings that were renamed.

    Raises:
        InputError: An override has an old name. The message gives the new one.
    """
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if key in RENAMED:
            raise InputError(f"{text}: {key} was renamed. Write {RENAMED[key]}")


def refuse_renamed_keys(config: DictConfig) -> None:
    """Refuses a composed config that has a renamed setting, as from a user's YAML.

    Raises:
        InputError: A setting has an old name. The message gives the new one.
    """
    for old, new in RENAMED.items():
        parent, _, key = old.rpartition(".")
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig) and key in node:
            raise InputError(f"{old} was renamed to {new}. Change the YAML that sets it")
