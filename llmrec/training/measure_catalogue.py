"""What is measured of a cell of task next_item: the catalogue ranked for the users of a split."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.evaluation.record import split_record
from llmrec.evaluation.reference_features import ReferenceFeatures
from llmrec.training.cells import Cell
from llmrec.training.rankers import open_ranker


def catalogue_measure(
    config: DictConfig, dataset: Dataset, cell: Cell, device: str, features: ReferenceFeatures
) -> Callable[[str], tuple[dict[str, Any], pa.Table, dict[str, float]]]:
    """Opens the cell's recommender; the metrics and the users' table of a split follow."""
    ranker = open_ranker(config, dataset, cell, device)

    def measure(split: str) -> tuple[dict[str, Any], pa.Table, dict[str, float]]:
        rows: Rows = getattr(dataset, split)
        rows = rows.take(draw(len(rows), config.evaluation.users, config.evaluation.sample_seed))
        with evaluation_bar(config, f"decoding {split}", len(rows), "user") as bar:
            titles, scores = ranker.rank(rows, split, bar.update)
        metrics, table = split_record(
            titles, scores, rows, dataset, split, config.decoding.exclude_history, ranker.target_titles(rows), features
        )
        metrics["recommender"] = ranker.name
        if config.evaluation.unconstrained:
            with evaluation_bar(config, f"generating {split}", len(rows), "user") as bar:
                metrics["unconstrained"] = ranker.unconstrained(rows, bar.update)
        return metrics, table, {}

    return measure


def evaluation_bar(config: DictConfig, what: str, total: int, unit: str) -> tqdm:
    """A progress bar, unless trainer.progress=false."""
    return tqdm(total=total, desc=what, unit=unit, disable=None if config.trainer.progress else True)
