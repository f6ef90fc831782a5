"""Measures a run of task rerank: ranks the candidate lists of a split, as stored and in other orders."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, draw
from llmrec.datasets.lists import Lists
from llmrec.evaluation.list_record import list_record
from llmrec.training.list_rankers import ListRanker, open_list_ranker, rank_shown
from llmrec.training.measure_catalogue import evaluation_bar
from llmrec.training.rankers import Progress
from llmrec.training.run_folder import RunFolder, is_baseline


def lists_measure(
    config: DictConfig, dataset: Dataset, run: RunFolder, device: str
) -> Callable[[str], tuple[dict[str, Any], pa.Table, dict[str, float]]]:
    """Opens a run's list ranker for evaluation.

    Args:
        config: The run's config, with the decoding and evaluation settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        device: Device of the model, such as `cuda`.

    Returns:
        A function that maps a split to its metrics, its table of lists, and the seconds of one ranking per list.

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    evaluation = config.evaluation
    ranker = open_list_ranker(config, dataset, run, device)

    def measure(split: str) -> tuple[dict[str, Any], pa.Table, dict[str, float]]:
        lists = dataset.lists[split]
        lists = lists.take(draw(len(lists), evaluation.users, evaluation.sample_seed))
        with evaluation_bar(config, f"ranking {split}", _rankings(config, lists), "list") as bar:
            started = time.perf_counter()
            stored = ranker.rank(lists, split, bar.update)
            seconds = time.perf_counter() - started
            shown = _in_other_orders(config, ranker, lists, split, bar.update)
        metrics, table = list_record(np.stack([stored, *shown]), lists, dataset, split)
        metrics["recommender"] = ranker.name
        if evaluation.unconstrained:
            with evaluation_bar(config, f"generating {split}", len(lists), "list") as bar:
                metrics["unconstrained"] = ranker.unconstrained(lists, evaluation.sample_seed, bar.update)
        return metrics, table, {f"{split}, one ranking a list": seconds}

    return measure


def _rankings(config: DictConfig, lists: Lists) -> int:
    per_order = 1 if is_baseline(config) else config.decoding.bootstrap
    return len(lists) * int(config.evaluation.orders) * int(per_order)


def _in_other_orders(
    config: DictConfig, ranker: ListRanker, lists: Lists, split: str, progress: Progress
) -> list[np.ndarray]:
    """Ranks the lists with their candidates shown in random orders; returns positions in the stored order."""
    generator = np.random.default_rng([config.evaluation.sample_seed, len(lists)])
    orders = generator.random((config.evaluation.orders - 1, *lists.candidates.shape)).argsort(axis=2)
    return [rank_shown(lists, order, lambda shown: ranker.rank(shown, split, progress)) for order in orders]
