"""The settings of the Hydra group `dataset` and their valid values."""

from collections.abc import Mapping
from typing import Any

from llmrec.errors import InputError
from llmrec.settings.dataset import Dataset
from llmrec.settings.typed import Check

PREPARED_FORMAT = 2
"""Increased when the files of prepared datasets change. The code of the readers is part of the key by its hash."""
SPLITS = ("train", "valid", "test")
LEAVE_ONE_OUT = "leave_one_out"
"""Value of dataset.split that holds out the last event of each user, instead of splitting by time."""
SEQUENCE_KEYS = ("k_core", "min_history", "max_history", "split")
"""Settings by which histories and splits are made from interactions."""
_SIMULATOR_KEYS = ("seed", "items", "users", "events", "days", "zipf", "loyalty", "ratings", "titles")


def check_settings(dataset: Mapping[str, Any]) -> None:
    """Checks the group against its schema. Keys that the schema does not have are accepted.

    Raises:
        InputError: A key of `dataset` is missing or has a value that it cannot have.
    """
    check = Check(frozenset(f"dataset.{key}" for key in dataset))
    check.arguments(Dataset, dataset, "dataset")
    check.raise_first()


def check_simulator(dataset: Mapping[str, Any]) -> None:
    """Raises InputError if a key of `dataset.simulator` is missing."""
    for key in _SIMULATOR_KEYS:
        if key not in dataset["simulator"]:
            raise InputError(f"dataset.simulator.{key} is not set. Give it as conf/dataset/games.yaml does")
