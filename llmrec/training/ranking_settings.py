"""Gives the config of a run the settings that one of its rankings was made with."""

from pathlib import Path

from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.evaluation.record import FACTS_FILE, read_facts
from llmrec.manifest import rank_again
from llmrec.plain import plain
from llmrec.settings.check import check_overridden


def with_settings_of(ranking: Path, config: DictConfig) -> DictConfig:
    """Returns the config with the decoding and evaluation settings that a ranking was made with.

    The decoder that the settings name is not imported: see `refuse_foreign_decoder` before one is built.

    Args:
        ranking: The folder of the ranking.
        config: The run's config.

    Raises:
        InputError: The folder has no ranking, or its settings are damaged.
    """
    facts, file = read_facts(ranking), ranking / FACTS_FILE
    if not facts:
        raise InputError(f"{ranking} has no finished ranking: {FACTS_FILE} is missing. {rank_again(ranking)}")
    ranked = DictConfig(plain(config) | {group: facts[group] for group in ("decoding", "evaluation")})
    try:
        check_overridden(plain(ranked), ("evaluation",))
    except InputError as error:
        raise InputError(f"{file} is damaged ({error}). {rank_again(ranking)}") from error
    return ranked
