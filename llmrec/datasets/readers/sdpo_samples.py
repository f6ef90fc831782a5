"""Reads S-DPO's samples: histories and targets as titles."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.leakage import leakage_report
from llmrec.datasets.prepared import Splits
from llmrec.datasets.settings import SPLITS
from llmrec.datasets.text_files import read_json, without_lone_surrogates
from llmrec.errors import InputError, shortened

SEPARATOR = "::"
"""Between the titles of a history that is a text."""
TIMES = "none in the files, and no users; samples are taken to be in order of time, each of a user of its own"
Sample = tuple[list[str], str, list[str]]
"""History, target and candidates."""


def read_sdpo(splits: Mapping[str, Path]) -> Splits:
    """Reads the samples of each split.

    Args:
        splits: The file of train, valid and test.

    Raises:
        InputError: For a file that is not a list of samples. The message names the file and the sample.
    """
    samples = [_samples(splits[split]) for split in SPLITS]
    index: dict[str, int] = {}
    for history, target, candidates in itertools.chain(*samples):
        for title in (*history, target, *candidates):
            index.setdefault(title, len(index))
    starts = itertools.accumulate(map(len, samples), initial=0)
    train, valid, test = (
        _rows(split, found, index, first) for split, found, first in zip(SPLITS, samples, starts, strict=False)
    )
    items = Items(list(index), list(index))
    report = leakage_report(items, train, valid, test, k_core_over_whole_period=True) | {"times": TIMES}
    return Splits(items, train, valid, test, report, train_file=splits["train"].name)


def _samples(path: Path) -> list[Sample]:
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path}: not a list of samples. Put the file there that S-DPO publishes")
    return [_sample(path, number, entry) for number, entry in enumerate(content, 1)]


def _sample(path: Path, number: int, entry: Any) -> Sample:
    keys: dict[str, Any] = entry if isinstance(entry, dict) else {}
    history, candidates = keys.get("historyList"), keys.get("itemList", [])
    target: list[Any] = [keys.get("trueSelection")]
    history = history.split(SEPARATOR) if isinstance(history, str) else history
    if not (_are_titles(history) and history and _are_titles(target) and _are_titles(candidates)):
        raise InputError(
            f"{path}, sample {number}: {shortened(repr(entry))} has no historyList and trueSelection of titles. "
            "Correct or remove it"
        )
    return _titles(history), _titles(target)[0], _titles(candidates)


def _are_titles(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(title, str) and title.strip() for title in value)


def _titles(texts: Iterable[str]) -> list[str]:
    return [without_lone_surrogates(text).strip() for text in texts]


def _rows(split: str, samples: list[Sample], index: Mapping[str, int], first: int) -> Rows:
    lengths = [len(history) for history, _, _ in samples]
    return Rows(
        user=np.array([f"{split}-{number}" for number in range(1, len(samples) + 1)]),
        history=np.array([index[title] for history, _, _ in samples for title in history], dtype=np.int32),
        offsets=np.r_[0, np.cumsum(lengths)].astype(np.int64),
        target=np.array([index[target] for _, target, _ in samples], dtype=np.int32),
        timestamp=np.arange(first, first + len(samples), dtype=np.int64),
    )
