"""Nothing touches the test split before the end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.datasets.dataset import Rows
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.training.loggers import open_loggers
from llmrec.training.open_dataset import read_dataset
from llmrec.training.train import train
from tests.training.small import resolved


class Forbidden:
    """Stands in for the rows of a split and refuses every question."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"test.{name} was asked for")

    def __len__(self) -> int:
        raise AssertionError("the number of test rows was asked for")


def test_training_and_selection_ask_nothing_of_the_test_rows(tmp_path: Path, cache: Path) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}")
    forbidden: Rows = Forbidden()  # type: ignore[assignment]
    dataset = replace(read_dataset(config), test=forbidden)
    with open_loggers(config, tmp_path, None) as loggers:
        made = train(config, dataset, tmp_path, {}, ReferenceFeatures(), loggers)
    assert made["chosen_by"]["users"] == 8


def test_nor_of_the_test_lists(tmp_path: Path, cache: Path) -> None:
    wanted = ("task=rerank", "objective=alro", "dataset=movielens_100k", "backbone.max_length=512", "trainer.epochs=1")
    config = resolved(tmp_path, f"paths.cache={cache}", *wanted)
    dataset = read_dataset(config)
    forbidden: Any = Forbidden()
    dataset = replace(dataset, test=forbidden, lists={**dataset.lists, "test": forbidden})
    with open_loggers(config, tmp_path, None) as loggers:
        made = train(config, dataset, tmp_path, {}, ReferenceFeatures(), loggers)
    assert made["chosen_by"]["users"] == 8


def test_stand_in_does_refuse() -> None:
    forbidden: Rows = Forbidden()  # type: ignore[assignment]
    with pytest.raises(AssertionError, match=r"test\.target"):
        np.asarray(forbidden.target)
