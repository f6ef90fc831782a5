"""Computes the metrics of existing rankings anew."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from llmrec.backbones.device import run_device
from llmrec.errors import InputError
from llmrec.evaluation.record import read_metrics
from llmrec.evaluation.reference_features import reference_features
from llmrec.protocol import protocol_line
from llmrec.tasks.base import build_task
from llmrec.tasks.console import figure_text
from llmrec.training.evaluate_run import measure_rankings, read_rankings
from llmrec.training.open_dataset import log_data_source, read_dataset
from llmrec.training.overrides import override
from llmrec.training.quiet import silence_libraries
from llmrec.training.ranking_settings import with_settings_of
from llmrec.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


def measure_again(folders: Sequence[Path], overrides: Sequence[str], config_dir: Path | None, trust: bool) -> None:
    """Measures all rankings of some runs and prints one line for each.

    Args:
        folders: Folders of runs.
        overrides: Overrides of the runs' configs.
        config_dir: A folder with YAML files of the user's own.
        trust: Accepts code that the runs' configs name; see `read_stored`.

    Raises:
        InputError: A run has no rankings, or its data or settings cannot be used.
        BusyError: Another process works on a run.
    """
    silence_libraries()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for folder in folders:
        run = RunFolder(folder)
        with run.lock():
            rankings = list(_rankings(run))
            if not rankings:
                raise InputError(f"{folder} has no rankings. Make them with python -m llmrec.evaluate run={folder}")
            for ranking in rankings:
                config = override(run.config(trust), overrides, config_dir)
                _measure(run, ranking, with_settings_of(ranking, config))


def _rankings(run: RunFolder) -> Iterator[Path]:
    """Yields the folders of a run's rankings."""
    return (file.parent for file in sorted(run.folder.glob("rankings/*/ranking.parquet")))


def _measure(run: RunFolder, folder: Path, config: DictConfig) -> None:
    log_data_source(config)
    task = build_task(config)
    rankings, missing = read_rankings(task, config, folder)
    if missing:
        raise InputError(
            f"{folder} lacks {', '.join(missing)}. Finish it with python -m llmrec.evaluate run={run.folder}"
        )
    dataset, cache_dir = read_dataset(config), Path(config.paths.cache)
    features = reference_features(config, dataset, cache_dir, str(run_device(config.trainer)))
    measure_rankings(task, rankings, config, dataset, run, folder, features)
    splits = read_metrics(folder)["splits"]
    figures = ", ".join(f"{split} {figure_text(record, task.headline) or '-'}" for split, record in splits.items())
    logger.info("%s: %s: %s; %s", folder, task.headline_label, figures, protocol_line(splits))
