"""One cell from its config to its record: what is done is read, what is missing is made."""

import json
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from llmrec.atomic import atomic_file
from llmrec.baselines.open import build_baseline
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage import summary
from llmrec.datasets.load import load_dataset
from llmrec.errors import InputError
from llmrec.evaluation.declared_views import TitleViews, declared_views
from llmrec.evaluation.record import METRICS_FILE, read_metrics
from llmrec.evaluation.table import print_final_table
from llmrec.training.cells import TRAINING, Cell, cell_path, is_baseline, plain_config, run_source
from llmrec.training.checkpoints import CHECKPOINTS
from llmrec.training.evaluate_cell import check_evaluation, evaluate_cell, run_device
from llmrec.training.fit_baseline import fit_baseline
from llmrec.training.loggers import log_summary, open_loggers
from llmrec.training.provenance import provenance
from llmrec.training.quiet import quiet
from llmrec.training.stages import run_stage, stage_configs, stage_overrides
from llmrec.training.train import build_objective, train

logger = logging.getLogger(__name__)


def run_cell(config: DictConfig) -> None:
    """Trains and evaluates the cell of a composed config (with its hydra node) and prints its table.

    Raises InputError for whatever of the user's cannot be used.
    """
    quiet()
    announce(config)
    check_evaluation(config)
    cell = Cell(Path(config.paths.runs) / cell_path(config))
    plain = OmegaConf.create(plain_config(config))
    with cell.lock():
        folder = cell.evaluation(plain)
        if not (folder / METRICS_FILE).is_file():
            dataset = open_dataset(plain)
            stages = {} if cell.trained else _finished_stages(config, plain, dataset)
            with open_loggers(plain.logger, cell.folder, plain_config(config)) as loggers:
                if not cell.trained:
                    _train(plain, dataset, cell, stages, loggers)
                log_summary(loggers, evaluate_cell(plain, dataset, cell, folder)["splits"])
        else:
            logger.info("this cell is done already; its record is read from %s", folder)
    print_record(cell, folder)


def evaluate_again(cell: Cell, config: DictConfig) -> None:
    """Evaluates a trained cell with other settings of decoding and evaluation and prints the table.

    config: the cell's own, overridden. Raises InputError for a cell that is not trained or does not fit the data.
    """
    quiet()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not cell.trained:
        raise InputError(f"{cell.folder} is not trained yet: finish it with the command that began it")
    check_evaluation(config)
    announce(config)
    with cell.lock():
        folder = cell.evaluation(config)
        if not (folder / METRICS_FILE).is_file():
            evaluate_cell(config, open_dataset(config), cell, folder)
    print_record(cell, folder)


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


def announce(config: DictConfig) -> None:
    """The first line of every command: real data or simulated."""
    source = run_source(config)
    if source.simulated:
        looked_for = Path(config.paths.data) / config.dataset.name
        logger.info("SIMULATED data: %s. No real set is used (looked for %s)", source.name, looked_for)
    else:
        logger.info("real data: %s from %s (%s layout)", source.name, source.path, source.kind)


def quiet_dataset(config: DictConfig) -> Dataset:
    """The dataset of a resolved config."""
    settings: dict[str, Any] = OmegaConf.to_container(config.dataset, resolve=True)  # type: ignore[assignment]
    task: dict[str, Any] = OmegaConf.to_container(config.task, resolve=True)  # type: ignore[assignment]
    return load_dataset(settings, Path(config.paths.data), Path(config.paths.cache), task)


def print_record(cell: Cell, folder: Path) -> None:
    """The table of a finished evaluation."""
    record = read_metrics(folder)
    names = {"valid": "decoding validation", "test": "decoding test"}
    seconds = cell.training["seconds"] | {names.get(name, name): spent for name, spent in record["seconds"].items()}
    print_final_table(record["splits"], seconds, folder)


def _finished_stages(config: DictConfig, plain: DictConfig, dataset: Dataset) -> dict[str, Path]:
    """The folders of the stages that a run names, after those that are missing have been run."""
    overrides, found = stage_overrides(config), {}
    # What the run itself cannot use should not be said after its stages have been trained.
    if is_baseline(config):
        build_baseline(plain.baseline)
    else:
        build_objective(plain, overrides)
    for name, stage in stage_configs(config).items():
        cell = Cell(Path(stage.paths.runs) / cell_path(stage))
        if not cell.trained:
            run_stage(overrides[name], config)
        _check_stage(cell, dataset)
        found[name] = cell.folder
    return found


def _check_stage(cell: Cell, dataset: Dataset) -> None:
    of = cell.training["dataset"]
    if of["content_hash"] != dataset.content_hash:
        raise InputError(
            f"the stage {cell.folder} was trained on {of['name']} ({of['content_hash'][:12]}), this run is on "
            f"{dataset.name} ({dataset.content_hash[:12]}): delete that folder, and the stage is trained again"
        )


def _train(config: DictConfig, dataset: Dataset, cell: Cell, stages: Mapping[str, Path], loggers: list[Logger]) -> None:
    started = time.perf_counter()
    with atomic_file(cell.config_file) as temporary:
        OmegaConf.save(config, temporary)
    with atomic_file(cell.folder / "leakage.json") as temporary:
        temporary.write_text(json.dumps(dataset.report, indent=2) + "\n", encoding="utf-8")
    # What cannot be opened should fail before the training, not after it; it is kept for then.
    # Lists are measured without them.
    views = (
        TitleViews() if dataset.lists else declared_views(config, dataset, Path(config.paths.cache), run_device(config))
    )
    looked = time.perf_counter() - started
    if is_baseline(config):
        made = fit_baseline(config, dataset, cell.folder, run_device(config), loggers)
    else:
        made = train(config, dataset, cell.folder, stages, views, loggers)
    made |= {
        "seconds": {"base model and relevance": looked, **made["seconds"]},
        "dataset": {"name": dataset.name, "simulated": dataset.simulated, "content_hash": dataset.content_hash},
        "stages": {name: str(folder) for name, folder in stages.items()},
        "scale": config.scale,
        "seed": config.seed,
        "provenance": provenance(),
        "wall_seconds": time.perf_counter() - started,
    }
    with atomic_file(cell.folder / TRAINING) as temporary:
        temporary.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    # With training.json in place nothing will resume: weights/ holds what was chosen.
    shutil.rmtree(cell.folder / CHECKPOINTS, ignore_errors=True)
