"""Opens the dataset of a run and logs what it contains."""

import logging
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from llmrec.catalogue.item_file import item_file
from llmrec.catalogue.item_tokens import read_item_tokens
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage_summary import short_summary
from llmrec.datasets.load import load
from llmrec.plain import plain
from llmrec.tasks.base import build_task
from llmrec.training.run_folder import is_baseline, run_source

logger = logging.getLogger(__name__)


def log_data_source(config: DictConfig) -> None:
    """Logs whether the data is real or simulated, as the first line of every command."""
    source = run_source(config)
    if source.simulated:
        expected = Path(config.paths.data) / config.dataset.name
        logger.info("SIMULATED data: %s. No real set is used (looked for %s)", source.name, expected)
    else:
        logger.info("real data: %s from %s (%s layout)", source.name, source.path, source.kind)


def open_dataset(config: DictConfig) -> Dataset:
    """Opens the dataset of a resolved config and logs its size and leakage report.

    Raises:
        InputError: The data cannot be used.
    """
    dataset = read_dataset(config)
    users = len(set(dataset.train.user.tolist()))
    logger.info(
        "%s: %s items (%s titles), %s users",
        dataset.name, f"{len(dataset.items):,}", f"{len(dataset.items.distinct_titles):,}", f"{users:,}",
    )  # fmt: skip
    logger.info(
        "rows: train %s (tuned on %s), valid %s, test %s",
        *(f"{len(rows):,}" for rows in (dataset.train, dataset.sample, dataset.valid, dataset.test)),
    )  # fmt: skip
    if dataset.items.tokens is not None:
        logger.info("items: %s new tokens represent the titles", f"{len(dataset.items.tokens.vocabulary):,}")
    for line in build_task(config).summary(dataset):
        logger.info("%s", line)
    for line in short_summary(dataset.report):
        logger.info("  %s", line)
    return dataset


def read_dataset(config: DictConfig) -> Dataset:
    """Opens the dataset of a resolved config, with the tokens of its items if they have any, without logging.

    Raises:
        InputError: The data cannot be used.
    """
    cache_dir, file = Path(config.paths.cache), None if is_baseline(config) else item_file(plain(config)["items"])
    loaded = load(plain(config.dataset), Path(config.paths.data), cache_dir)
    dataset = build_task(config).prepare(loaded, config.dataset, cache_dir)
    if file is None:
        return dataset
    return replace(dataset, items=replace(dataset.items, tokens=read_item_tokens(file, dataset.items)))
