"""The protocol of an evaluation: what must be equal for figures of two recommenders to be compared."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from llmrec.catalogue.item_file import TITLES, items_identity
from llmrec.components import digest
from llmrec.identity import measuring_code, ranking_code
from llmrec.plain import plain

LENGTH = 8
"""Hex digits of an ID: with a thousand protocols, two are equal by chance with a probability of about 1 in 10,000."""


def protocol_id(config: DictConfig, training: Mapping[str, Any], split: str) -> str:
    """Returns the ID of the protocol by which a run was evaluated on a split.

    Equal IDs mean the same dataset, split and rows, the same task and items, the same decoding (score mode, beams,
    length penalty, excluded history) and the same versions of the code that ranks and measures.

    Args:
        config: The run's resolved config.
        training: The content of training.json.
        split: "valid" or "test".

    Returns:
        8 hex digits.
    """
    settings: dict[str, Any] = plain(config)
    evaluation = {name: value for name, value in settings["evaluation"].items() if name != "splits"}
    parts = {
        "dataset": training["dataset"]["content_hash"],
        "split": split,
        "evaluation": evaluation,
        "task": settings["task"],
        # A baseline ranks titles, whatever represents them for a language model.
        "items": {"name": TITLES} if settings["baseline"]["name"] != "none" else items_identity(settings["items"]),
        "decoding": settings["decoding"],
    }
    return digest(parts, ranking_code(settings), measuring_code(settings))[:LENGTH]


def recorded_protocol(record: Mapping[str, Any]) -> str:
    """Returns the ID of the protocol by which the record of a split was measured."""
    # Records of earlier versions do not have it.
    return str(record.get("protocol", "unknown"))


def protocol_line(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the line that tables of figures end with, as in "protocol: valid 1f0a93cc, test 80b2e4d7".

    Args:
        splits: The records by split.
    """
    return "protocol: " + ", ".join(f"{split} {recorded_protocol(record)}" for split, record in splits.items())
