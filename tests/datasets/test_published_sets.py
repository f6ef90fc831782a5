"""Known statistics of the published datasets, which must be in the folder that LLMREC_DATA names."""

import os
from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import load_dataset
from tests.datasets.layouts import group


def real(name: str, cache: Path) -> Dataset:
    return load_dataset(group(name, source="real"), Path(os.environ["LLMREC_DATA"]), cache)


def shares(cold: dict[str, int]) -> tuple[int, int]:
    return round(100 * cold["never_seen"] / cold["rows"]), round(100 * cold["never_a_target"] / cold["rows"])


def sizes(dataset: Dataset) -> list[int]:
    return [len(rows) for rows in (dataset.train, dataset.sample, dataset.valid, dataset.test)]


@pytest.mark.real_data("games")
def test_games(tmp_path: Path) -> None:
    dataset = real("games", tmp_path)
    report = dataset.report
    assert sizes(dataset) == [10_000, 10_000, 14_939, 14_940]
    assert (len(dataset.items), len(dataset.items.distinct_titles)) == (17_256, 16_788)
    assert shares(report["cold_targets"]["test"]) == (34, 57)
    assert (report["repeated_targets"]["train"], report["repeated_targets"]["test"]) == (497, 164)
    assert report["identical_rows"] == {"train": 0, "valid": 0, "test": 95}


@pytest.mark.real_data("office")
def test_office(tmp_path: Path) -> None:
    dataset = real("office", tmp_path)
    assert sizes(dataset) == [15_400, 10_000, 1_925, 1_925]
    assert len(dataset.items) - len(dataset.items.distinct_titles) == 3
    assert shares(dataset.report["cold_targets"]["test"]) == (47, 51)
    title = dataset.items.title_of
    top = np.argsort(-np.bincount(title[dataset.train.target]), kind="stable")[:10]
    hits = title[dataset.test.target][:, None] == top
    assert (hits / np.log2(2 + np.arange(10))).sum(1).mean() == pytest.approx(0.0005, abs=5e-5)


@pytest.mark.real_data("books")
def test_books(tmp_path: Path) -> None:
    dataset = real("books", tmp_path)
    report = dataset.report
    # 35,060 training rows, of which the latest tenth is held out; 8,962 of the 10,000 sampled rows are left.
    assert sizes(dataset) == [31_554, 8_962, 3_506, 4_383]
    assert dataset.valid.timestamp.min() == dataset.train.timestamp.max()
    assert len(dataset.items) - len(dataset.items.distinct_titles) == 9
    assert shares(report["cold_targets"]["test_against_train_and_valid"]) == (64, 65)
    assert report["identical_rows"]["train"] + report["identical_rows"]["valid"] == 4
    assert report["titles"]["blank"] == 1
