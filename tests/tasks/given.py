"""Rankings of the small dataset that are given instead of computed, and the configs of their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig, OmegaConf

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.lists import Lists
from llmrec.decoding.rank_lists import UnconstrainedRankings
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.tasks.base import Progress, build_metrics, build_task
from tests.evaluation.small import DATASET, rows_of

TASKS = {
    "next_item": {"_target_": "llmrec.tasks.next_item.NextItem", "reference_features": True},
    "rerank": {
        "_target_": "llmrec.tasks.rerank.Rerank",
        "reference_features": False,
        "candidates": 3,
        "negatives": None,
        "relevance": "auto",
        "seed": 0,
    },
    "candidates": {
        "_target_": "llmrec.tasks.candidates.Candidates",
        "reference_features": False,
        "candidates": 3,
        "seed": 0,
    },
}
# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets of test: d, c, f, b.
RECOMMENDED = np.array([[0, 1], [0, 2], [1, -1], [-1, -1]], dtype=np.int32)
SCORES = np.array([[-0.5, -1], [-0.25, -2], [-3, -np.inf], [-np.inf, -np.inf]], dtype=np.float32)
TITLES = np.array([0, 2, 4, 1], dtype=np.int32)
"""The titles that count as hits."""
CANDIDATES = np.array([[4, 2, 0], [1, 5, 4], [3, 1, 2]], dtype=np.int32)
RELEVANCE = np.array([[1, 2, 3], [4, 0, 2], [2, 2, 1]], dtype=np.float32)
UNSEEN = ReferenceFeatures()
USERS = np.array(["u", "u", "v"])
RANKED = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2]])
"""Worst first, best first, best first with the two equal ones in either order."""


DECODERS = {
    "next_item": {"_target_": "llmrec.decoding.catalogue_decoder.BeamSearchDecoder"},
    "rerank": {"_target_": "llmrec.decoding.list_decoder.PermutationDecoder"},
    "candidates": {"_target_": "llmrec.decoding.candidates_decoder.TitleScoreDecoder"},
}


def run_config(task: str, exclude_history: bool = False, metrics: Any = None, **evaluation: Any) -> DictConfig:
    """Returns the settings of a run that its task reads.

    Args:
        task: next_item, rerank or candidates.
        exclude_history: Setting of the decoding.
        metrics: The group `metrics`.
        evaluation: Settings that differ from an evaluation of all rows, with one ranking of each.
    """
    settings = {"splits": ["test"], "users": None, "sample_seed": 0, "unconstrained": False, "orders": 1}
    return OmegaConf.create(
        {
            "task": {"name": task, **TASKS[task]},
            "baseline": {"name": "none"},
            "decoding": DECODERS[task] | ({"exclude_history": exclude_history} if task == "next_item" else {}),
            "evaluation": settings | evaluation,
            "metrics": metrics or {},
        }
    )


class GivenTitles:
    """A ranker of the catalogue whose lists and texts are given; without scores, all scores are 0."""

    name = "model"

    def __init__(
        self,
        titles: np.ndarray = RECOMMENDED,
        scores: np.ndarray | None = None,
        target_title: np.ndarray = TITLES,
        texts: Sequence[str | None] = (),
        details: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        self.titles, self.target_title, self.texts, self.details = titles, target_title, texts, details
        self.decoder = SimpleNamespace(exclude_history=False)
        self.scores = np.zeros(titles.shape, dtype=np.float32) if scores is None else scores

    def rank(
        self, rows: Rows, split: str, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]:
        progress(len(rows))
        return self.titles, self.scores, self.details

    def target_titles(self, rows: Rows) -> np.ndarray:
        return self.target_title

    def unconstrained_texts(self, rows: Rows, progress: Progress) -> tuple[Sequence[str | None], np.ndarray]:
        progress(len(rows))
        return self.texts, np.array([text in DATASET.items.distinct_titles for text in self.texts])


@dataclass(frozen=True)
class GivenOrders:
    """A ranker of candidate lists.

    Attributes:
        orders: Rankings by the number of the order shown, int [orders, lists, m], as positions in the stored order.
        free: Rankings without constraints.
    """

    orders: np.ndarray
    free: UnconstrainedRankings | None = None
    name: str = "model"

    def rank(self, lists: Lists, split: str, number: int, progress: Progress) -> np.ndarray:
        progress(len(lists))
        ranked = np.take_along_axis(CANDIDATES, self.orders[number - 1], axis=1)
        return (lists.candidates[:, None, :] == ranked[:, :, None]).argmax(axis=2)

    def unconstrained_rankings(self, lists: Lists, seed: int, progress: Progress) -> UnconstrainedRankings:
        progress(len(lists))
        assert self.free is not None
        return self.free


def lists_of(users: np.ndarray = USERS) -> Lists:
    """Returns three lists of two users, without histories."""
    rows = rows_of(([], 0), ([], 1), ([], 3))
    rows.user[:] = users
    return Lists(rows, None, CANDIDATES, RELEVANCE)


def titles_of(lists: Lists) -> np.ndarray:
    """Returns the distinct titles of the candidates of lists of the small dataset, int [lists, m]."""
    titles: np.ndarray = DATASET.items.title_of[lists.candidates]
    return titles


def ranked_parts(ranker: Any, dataset: Dataset, split: str, config: DictConfig) -> dict[str, pa.Table]:
    """Returns the rankings of a split that an evaluation with these settings needs."""
    task = build_task(config)
    if isinstance(ranker, GivenTitles):
        ranker.decoder = SimpleNamespace(exclude_history=config.decoding.exclude_history)
    return {
        part: task.rank(part, ranker, dataset, split, config, Path("parts"), lambda done: None)
        for part in task.parts(config)
    }


def record_of_parts(
    parts: Mapping[str, pa.Table],
    dataset: Dataset,
    split: str,
    config: DictConfig,
    features: ReferenceFeatures = UNSEEN,
) -> tuple[dict[str, Any], pa.Table]:
    """Returns the record of rankings, and the values by row."""
    task = build_task(config)
    return task.record(parts, dataset, split, config, features, build_metrics(task, config))
