"""The settings of the Hydra group `dataset` and their valid values."""

from collections.abc import Mapping
from typing import Any

from llmrec.errors import InputError

PREPARED_FORMAT = 2
"""Increased when the files of prepared datasets change. The code of the readers is part of the key by its hash."""
SEQUENCE_KEYS = ("k_core", "min_history", "max_history", "split")
"""Settings by which histories and splits are made from interactions."""
_SIMULATOR_KEYS = ("seed", "items", "users", "events", "days", "zipf", "loyalty", "ratings", "titles")


def check_settings(dataset: Mapping[str, Any]) -> None:
    """Raises InputError if a key of `dataset` is missing or out of range."""
    for key in ("name", "source", "train_samples", "sample_seed", "hold_out", "reader", *SEQUENCE_KEYS):
        if key not in dataset:
            raise InputError(f"dataset.{key} is not set. Begin its YAML with `defaults: [shared/base@_here_, _self_]`")
    _require(dataset, "source", dataset["source"] in ("auto", "real", "simulated"), "auto, real or simulated")
    samples = dataset["train_samples"]
    _require(dataset, "train_samples", samples is None or _whole(samples, 1), "a whole number from 1, or null for all")
    _require(dataset, "sample_seed", _whole(dataset["sample_seed"], 0), "a whole number from 0")
    hold_out = dataset["hold_out"]
    _require(dataset, "hold_out", isinstance(hold_out, float) and 0 < hold_out < 1, "a fraction between 0 and 1")
    _require(dataset, "k_core", _whole(dataset["k_core"], 1), "a whole number from 1 (1 keeps everything)")
    _require(dataset, "min_history", _whole(dataset["min_history"], 1), "a whole number from 1")
    _require(dataset, "max_history", _whole(dataset["max_history"], dataset["min_history"]), "at least min_history")
    split = dataset["split"]
    are_positive = isinstance(split, list) and all(isinstance(share, float) and share > 0 for share in split)
    is_valid = are_positive and len(split) == 3 and abs(sum(split) - 1) < 1e-9
    _require(dataset, "split", is_valid, "three positive fractions (train, valid, test) that sum to 1")


def check_simulator(dataset: Mapping[str, Any]) -> None:
    """Raises InputError if a key of `dataset.simulator` is missing or out of range."""
    simulator = dataset["simulator"]
    for key in _SIMULATOR_KEYS:
        if key not in simulator:
            raise InputError(f"dataset.simulator.{key} is not set. Give it as conf/dataset/games.yaml does")
    for key in ("items", "users", "events", "days"):
        if not _whole(simulator[key], 10):
            raise InputError(f"dataset.simulator.{key}={simulator[key]} cannot be used: give a whole number from 10")
    if not isinstance(simulator["ratings"], bool):
        raise InputError(f"dataset.simulator.ratings={simulator['ratings']} cannot be used: give true or false")


def _whole(value: Any, minimum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _require(dataset: Mapping[str, Any], key: str, is_valid: bool, expected: str) -> None:
    if not is_valid:
        raise InputError(f"dataset.{key}={dataset[key]} cannot be used: give {expected}")
