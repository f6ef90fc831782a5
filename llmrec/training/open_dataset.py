"""The dataset of a run, and what is said of it."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage import summary
from llmrec.datasets.load import load_dataset
from llmrec.plain import plain
from llmrec.training.cells import run_source

logger = logging.getLogger(__name__)


def announce(config: DictConfig) -> None:
    """The first line of every command: real data or simulated."""
    source = run_source(config)
    if source.simulated:
        looked_for = Path(config.paths.data) / config.dataset.name
        logger.info("SIMULATED data: %s. No real set is used (looked for %s)", source.name, looked_for)
    else:
        logger.info("real data: %s from %s (%s layout)", source.name, source.path, source.kind)


def open_dataset(config: DictConfig) -> Dataset:
    """The dataset of a resolved config, described: how many users and items, what leaks."""
    dataset = quiet_dataset(config)
    users = len(set(dataset.train.user.tolist()))
    logger.info(
        "%s: %s items (%s titles), %s users; rows: train %s (tuned on %s), valid %s, test %s",
        dataset.name, f"{len(dataset.items):,}", f"{len(dataset.items.distinct_titles):,}", f"{users:,}",
        *(f"{len(rows):,}" for rows in (dataset.train, dataset.sample, dataset.valid, dataset.test)),
    )  # fmt: skip
    if dataset.lists:
        logger.info("task rerank: tuned on %s lists", f"{len(dataset.lists['sample']):,}")
    for line in summary(dataset.report):
        logger.info("  %s", line)
    return dataset


def quiet_dataset(config: DictConfig) -> Dataset:
    """The dataset of a resolved config."""
    return load_dataset(plain(config.dataset), Path(config.paths.data), Path(config.paths.cache), plain(config.task))
