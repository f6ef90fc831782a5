"""Metrics of generated texts, worked out by hand; a run that generates none does not have them."""

from dataclasses import replace

import numpy as np
import pytest

from llmrec.metrics.unconstrained import InvalidRankings, InvalidTitles
from tests.metrics.small import catalogue_ranking, list_ranking


def test_invalid_titles() -> None:
    ranking = replace(catalogue_ranking(), is_title=np.array([True, False, False, False]))
    rows = InvalidTitles().rows(ranking)
    assert rows["invalid"].tolist() == [0, 1, 1, 1]
    assert InvalidTitles().record(ranking, rows) == {"invalid_title_rate": 3 / 4, "rows": 4}


def test_invalid_rankings() -> None:
    # Gains of the lists: 1, 3, 7; 15, 0, 3; 3, 3, 1.
    ranking = replace(list_ranking(), unconstrained_order=np.array([[2, 0, 1], [1, 0, 2], [0, 1, 2]]))
    rows = InvalidRankings().rows(ranking)
    assert rows["invalid"].tolist() == [0, 1, 0]
    found = InvalidRankings().record(ranking, rows)
    assert (found["parse_failure_rate"], found["lists"]) == (1 / 3, 3)
    assert found["ndcg@1"] == pytest.approx((1 + 0 + 1) / 3)


def test_without_texts_there_is_nothing_to_measure() -> None:
    titles, lists = (
        replace(catalogue_ranking(), is_title=None),
        replace(list_ranking(), unconstrained_order=None, is_invalid=None),
    )
    assert (InvalidTitles().rows(titles), InvalidTitles().record(titles, {})) == ({}, {})
    assert (InvalidRankings().rows(lists), InvalidRankings().record(lists, {})) == ({}, {})
