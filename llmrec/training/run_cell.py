"""One cell from its config to its record: what is done is read, what is missing is made."""

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.device import check_device, check_trained_dtype
from llmrec.baselines.open import build_baseline
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.record import METRICS_FILE, read_metrics
from llmrec.evaluation.table import print_final_table
from llmrec.training.cells import Cell, cell_path, is_baseline, plain_config
from llmrec.training.cluster import slurm_tasks
from llmrec.training.evaluate_cell import check_evaluation
from llmrec.training.loggers import named
from llmrec.training.open_dataset import announce, open_dataset
from llmrec.training.quiet import quiet
from llmrec.training.ranks import carry_out, coordinator, ranks_of
from llmrec.training.stages import Stage, run_stage, stage_configs, stage_overrides
from llmrec.training.train import build_objective
from llmrec.training.work import Work

logger = logging.getLogger(__name__)


def run_cell(config: DictConfig) -> None:
    """Trains and evaluates the cell of a composed config (with its hydra node) and prints its table.

    Raises InputError for whatever of the user's cannot be used.
    """
    quiet()
    announce(config)
    cell = Cell(Path(config.paths.runs) / cell_path(config))
    plain = OmegaConf.create(plain_config(config))
    folder = cell.evaluation(plain)
    # First, for other tasks wait to be told, also that there is nothing to do.
    with coordinator() as tasks:
        check_evaluation(config)
        check_device(config)
        ranks_of(config)
        with cell.lock():
            if not (folder / METRICS_FILE).is_file():
                if not cell.trained:
                    check_trained_dtype(config)
                dataset = open_dataset(plain)
                stages = {} if cell.trained else _finished_stages(config, plain, dataset)
                carry_out(Work(plain, cell, folder, stages, named(config)), dataset, tasks)
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
    check_device(config)
    announce(config)
    with cell.lock():
        folder = cell.evaluation(config)
        if not (folder / METRICS_FILE).is_file():
            carry_out(Work(config, cell, folder, {}, None), open_dataset(config), None)
    print_record(cell, folder)


def print_record(cell: Cell, folder: Path) -> None:
    """The table of a finished evaluation."""
    record = read_metrics(folder)
    names = {"valid": "decoding validation", "test": "decoding test"}
    seconds = cell.training["seconds"] | {names.get(name, name): spent for name, spent in record["seconds"].items()}
    print_final_table(record["splits"], seconds, folder)


def _finished_stages(config: DictConfig, plain: DictConfig, dataset: Dataset) -> dict[str, Stage]:
    """The stages that a run names, after those that are missing have been run."""
    overrides, found = stage_overrides(config), dict[str, Stage]()
    # What the run itself cannot use should not be said after its stages have been trained.
    if is_baseline(config):
        build_baseline(plain.baseline)
    else:
        build_objective(plain, overrides)
    for name, stage in stage_configs(config).items():
        cell = Cell(Path(stage.paths.runs) / cell_path(stage))
        if not cell.trained:
            if slurm_tasks() > 1:
                raise InputError(
                    f"the stage {cell.folder} is missing, and srun's tasks belong to the run: run it first (python -m "
                    f"llmrec.run {' '.join(overrides[name])}), or take launcher=slurm, which does"
                )
            run_stage(overrides[name], config)
        _check_stage(cell, dataset)
        found[name] = Stage(cell.folder, plain_config(stage)["baseline"])
    return found


def _check_stage(cell: Cell, dataset: Dataset) -> None:
    of = cell.training["dataset"]
    if of["content_hash"] != dataset.content_hash:
        raise InputError(
            f"the stage {cell.folder} was trained on {of['name']} ({of['content_hash'][:12]}), this run is on "
            f"{dataset.name} ({dataset.content_hash[:12]}): delete that folder, and the stage is trained again"
        )
