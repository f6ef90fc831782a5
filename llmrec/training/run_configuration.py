"""Runs a configuration: trains and evaluates what is missing, reads what is done already, and prints the result."""

import logging
import shlex
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from llmrec.atomic import remove_leftovers
from llmrec.backbones.device import check_device, check_trained_dtype
from llmrec.backbones.load import check_model_files
from llmrec.baselines.open import build_baseline
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.record import read_metrics
from llmrec.protocol import protocol_line
from llmrec.settings.check import check_classes
from llmrec.tasks.base import build_metrics, build_task
from llmrec.tasks.console import print_record
from llmrec.training.assistant import assistant_config, assistant_run
from llmrec.training.cluster import launched_rank
from llmrec.training.evaluate_run import check_evaluation
from llmrec.training.loggers import run_label
from llmrec.training.open_dataset import log_data_source, open_dataset
from llmrec.training.quiet import silence_libraries
from llmrec.training.ranks import ranks_of, run_on_ranks
from llmrec.training.run_folder import RunFolder, is_baseline, resolved_config, run_code, run_path
from llmrec.training.stages import Stage, run_stage, stage_configs, stage_overrides
from llmrec.training.train import build_objective
from llmrec.training.work import Work, do_work

logger = logging.getLogger(__name__)


def run_configuration(config: DictConfig) -> None:
    """Trains and evaluates a run and prints its table; arguments and errors as for `complete`."""
    run, plain = complete(config)
    print_run(run, plain, run.ranking(plain))


def complete(config: DictConfig) -> tuple[RunFolder, DictConfig]:
    """Trains and evaluates a run; what is done already is read.

    Args:
        config: The composed config with its hydra node.

    Returns:
        The run's folder and its resolved config.

    Raises:
        InputError: Settings, data, a model or a stage cannot be used.
        BusyError: Another process works on the run or on a stage of it.
    """
    silence_libraries()
    check_classes(resolved_config(config))
    run = RunFolder(Path(config.paths.runs) / run_path(config))
    plain = OmegaConf.create(resolved_config(config))
    folder = run.ranking(plain)
    check_evaluation(config)
    check_device(config)
    ranks_of(config)
    log_data_source(config)
    _announce_edited(plain)
    with run.lock():
        remove_leftovers(run.folder)
        remove_leftovers(Path(config.paths.cache))
        if not run.is_evaluated(plain):
            if not run.trained:
                check_trained_dtype(config)
                if is_baseline(plain):
                    build_baseline(plain.baseline)
                else:
                    build_objective(plain, stage_overrides(config))
                    check_model_files(plain.backbone)
            dataset = open_dataset(plain)
            stages = {} if run.trained else _finished_stages(config, plain, dataset)
            _fit_assistant(plain)
            run_on_ranks(Work(plain, run, folder, stages, run_label(config)), dataset)
        else:
            logger.info("this run is done already: reading its record from %s", folder)
    return run, plain


def _announce_edited(config: DictConfig) -> None:
    """Logs which shipped files differ from the versions by which keys know them."""
    edited = sorted({name for step in run_code(config).values() for name in step.edited})
    if edited:
        logger.info("edited: %s (results of edited code have keys of their own)", ", ".join(edited))


def evaluate_again(run: RunFolder, config: DictConfig) -> None:
    """Evaluates a trained run with other decoding or evaluation settings and prints the table.

    Args:
        run: The run's folder.
        config: The run's resolved config with overrides.

    Raises:
        InputError: The run is not trained, its weights do not fit the data, or the settings cannot be used.
        BusyError: Another process works on the run.
    """
    silence_libraries()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not run.trained:
        raise InputError(f"{run.folder} is not trained yet. Finish it with the command that started it")
    check_evaluation(config)
    check_device(config)
    log_data_source(config)
    _announce_edited(config)
    with run.lock():
        folder = run.ranking(config)
        if not run.is_evaluated(config):
            _fit_assistant(config)
            run_on_ranks(Work(config, run, folder, {}, None), open_dataset(config))
    print_run(run, config, folder)


def print_run(run: RunFolder, config: DictConfig, folder: Path) -> None:
    """Prints the tables of a finished evaluation.

    Args:
        run: The run's folder.
        config: The run's resolved config.
        folder: The folder of its rankings and metrics.
    """
    record, task = read_metrics(folder), build_task(config)
    names = {"valid": "ranking validation", "test": "ranking test"}
    seconds = run.training["seconds"] | {names.get(name, name): spent for name, spent in record["seconds"].items()}
    tables = task.tables(record["splits"], build_metrics(task, config))
    print_record(tables, record["splits"], seconds, folder, protocol_line(record["splits"]))


def _finished_stages(config: DictConfig, plain: DictConfig, dataset: Dataset) -> dict[str, Stage]:
    """Returns the stages that a run depends on; runs those that are missing."""
    overrides, finished = stage_overrides(config), dict[str, Stage]()
    # Errors in the run's own settings should be reported before its stages are trained.
    if not is_baseline(config):
        build_task(plain).prompt(plain, dataset.items)
    for name, stage in stage_configs(config).items():
        run = RunFolder(Path(stage.paths.runs) / run_path(stage))
        if not run.trained:
            if launched_rank() is not None:
                raise InputError(
                    f"the stage {run.folder} is not trained, and processes of torchrun or srun train one run only. "
                    f"Start it first, in the same way (llmrec.run {shlex.join(overrides[name])}), or use "
                    "launcher=slurm, which does"
                )
            run_stage(overrides[name], config)
        run.check_trained_on(dataset)
        finished[name] = Stage(run.folder, resolved_config(stage)["baseline"])
    return finished


def _fit_assistant(config: DictConfig) -> None:
    """Runs the baseline that the decoder of a run uses, unless it has none or that is fitted already.

    Raises:
        InputError: Its settings or rows cannot be used.
        BusyError: Another process fits it.
    """
    fitted = assistant_config(config)
    if fitted is None or assistant_run(fitted).trained:
        return
    run = assistant_run(fitted)
    print(f"first the baseline that the decoding uses: {fitted.baseline.name} in {run.folder}", flush=True)
    with run.lock():
        remove_leftovers(run.folder)
        # In this process, on one rank: a baseline takes no more, and `evaluate` has no command to start another with.
        do_work(Work(fitted, run, run.ranking(fitted), {}, None))
