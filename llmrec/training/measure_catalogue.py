"""Measures a run of task next_item: ranks the catalogue for the users of a split."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.evaluation.record import split_record
from llmrec.evaluation.reference_features import ReferenceFeatures
from llmrec.training.rankers import open_ranker
from llmrec.training.run_folder import RunFolder


def catalogue_measure(
    config: DictConfig, dataset: Dataset, run: RunFolder, device: str, features: ReferenceFeatures
) -> Callable[[str], tuple[dict[str, Any], pa.Table, dict[str, float]]]:
    """Opens a run's ranker for evaluation.

    Args:
        config: The run's config, with the decoding and evaluation settings to use.
        dataset: The run's dataset.
        run: The run's folder.
        device: Device of the model, such as `cuda`.
        features: Reference features of the titles.

    Returns:
        A function that maps a split to its metrics, its table of users, and named parts of its time (none here).

    Raises:
        InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
    """
    ranker = open_ranker(config, dataset, run, device)

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
    """Returns a progress bar, which is hidden if trainer.progress=false or stderr is not a terminal."""
    return tqdm(total=total, desc=what, unit=unit, disable=None if config.trainer.progress else True)
