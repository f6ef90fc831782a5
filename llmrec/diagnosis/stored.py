"""Diagnoses of a trained run and their files: one that exists already is read."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from llmrec.atomic import atomic_file
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.identity import diagnosis_key
from llmrec.manifest import folder_manifest
from llmrec.plain import plain
from llmrec.training.open_dataset import log_data_source, open_dataset
from llmrec.training.quiet import silence_libraries
from llmrec.training.run_folder import RunFolder

DIAGNOSIS_FILE = "diagnosis.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Diagnosis:
    """A kind of diagnosis.

    Attributes:
        compute: Computes the record from the run's config, its dataset, the run and the sample.
        write: Writes what lies beside the record, such as plots, to a folder.
        show: Prints the table of a record, and its folder.
        check: Refuses configs that cannot be diagnosed, before anything is opened.
    """

    compute: Callable[[DictConfig, Dataset, RunFolder, dict[str, Any]], dict[str, Any]]
    write: Callable[[Path, dict[str, Any]], None]
    show: Callable[[dict[str, Any], Path], None]
    check: Callable[[DictConfig], object] = lambda config: None


def diagnose(diagnosis: Diagnosis, run: RunFolder, config: DictConfig, sample: dict[str, Any]) -> None:
    """Diagnoses a trained run and prints a table. A diagnosis that exists already is read.

    Args:
        diagnosis: The kind of diagnosis.
        run: The run.
        config: The run's config; the groups decoding and paths may be overridden.
        sample: The rows to diagnose: `users` (number of rows), `seed`, and `split` ("valid" or "test"); and `beam`,
            True for the diagnosis of beam search.

    Raises:
        InputError: If the run is not trained or does not fit the data, or if a model that is needed is not available.
    """
    silence_libraries()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not run.trained:
        raise InputError(f"{run.folder} is not trained yet. Finish the training with the command that started it.")
    diagnosis.check(config)
    log_data_source(config)
    with run.lock():
        folder = run.folder / "diagnosis" / diagnosis_key(plain(config), sample)
        if not (folder / DIAGNOSIS_FILE).is_file():
            _write(folder, diagnosis, diagnosis.compute(config, open_dataset(config), run, sample))
        else:
            logger.info("reading the existing diagnosis from %s", folder)
    beam = " beam=true" if "beam" in sample else ""
    remedy = f"Remove it and repeat the command: python -m llmrec.diagnose run={run.folder}{beam}"
    folder_manifest(folder).check(remedy, DIAGNOSIS_FILE)
    diagnosis.show(json.loads((folder / DIAGNOSIS_FILE).read_text(encoding="utf-8")), folder)


def run_facts(config: DictConfig, dataset: Dataset, run: RunFolder, sample: dict[str, Any]) -> dict[str, Any]:
    """Returns what every record of a diagnosis begins with."""
    folder = run.folder.resolve()
    return {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "objective": folder.parent.name,
        "training": folder.name,
        "sample": sample,
        "decoding": plain(config.decoding),
    }


def _write(folder: Path, diagnosis: Diagnosis, record: dict[str, Any]) -> None:
    diagnosis.write(folder, record)
    # This file is written last, because its presence marks the diagnosis as finished.
    with folder_manifest(folder).recorded(DIAGNOSIS_FILE), atomic_file(folder / DIAGNOSIS_FILE) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
