"""What is done of a cell once it is clear what is missing: its training and an evaluation, by one process or more."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from llmrec.atomic import atomic_file
from llmrec.backbones.device import run_device
from llmrec.collectives import barrier, is_rank_zero
from llmrec.datasets.dataset import Dataset
from llmrec.evaluation.reference_features import ReferenceFeatures, reference_features
from llmrec.plain import plain
from llmrec.training.cells import TRAINING, Cell, is_baseline
from llmrec.training.checkpoints import CHECKPOINTS
from llmrec.training.evaluate_cell import evaluate_cell
from llmrec.training.fit_baseline import fit_baseline
from llmrec.training.loggers import Named, log_summary, open_loggers
from llmrec.training.open_dataset import open_dataset
from llmrec.training.provenance import provenance
from llmrec.training.stages import Stage
from llmrec.training.train import train


@dataclass(frozen=True)
class Work:
    """A cell to train, unless it is, and an evaluation to leave in `record`.

    config: the resolved run config; stages: the finished stages that it builds upon; named: how its W&B run is
    called, None = no logger.
    """

    config: DictConfig
    cell: Cell
    record: Path
    stages: Mapping[str, Stage]
    named: Named | None

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(
            {
                "config": plain(self.config),
                "cell": str(self.cell.folder),
                "record": str(self.record),
                "stages": {name: [str(stage.folder), stage.baseline] for name, stage in self.stages.items()},
                "named": None if self.named is None else vars(self.named),
            }
        )

    @staticmethod
    def from_json(text: str) -> "Work":
        """What `to_json` wrote."""
        said = json.loads(text)
        return Work(
            config=OmegaConf.create(said["config"]),
            cell=Cell(Path(said["cell"])),
            record=Path(said["record"]),
            stages={name: Stage(Path(folder), baseline) for name, (folder, baseline) in said["stages"].items()},
            named=said["named"] and Named(**said["named"]),
        )


def do_work(work: Work, dataset: Dataset | None = None) -> None:
    """Trains and evaluates; every rank calls it, the first one writes. dataset: where it is open already."""
    dataset = dataset or open_dataset(work.config)
    with open_loggers(work.config, work.cell.folder, work.named) as loggers:
        trained = work.cell.trained
        if not trained and is_rank_zero():
            _write_beginning(work, dataset)
        started = time.perf_counter()
        device = str(run_device(work.config.trainer))
        # First, since what cannot be opened should fail before the training, not after it.
        features = reference_features(work.config, dataset, Path(work.config.paths.cache), device)
        if not trained:
            _train(work, dataset, features, loggers, started)
        log_summary(loggers, evaluate_cell(work.config, dataset, work.cell, work.record, features)["splits"])


def _write_beginning(work: Work, dataset: Dataset) -> None:
    with atomic_file(work.cell.config_file) as temporary:
        OmegaConf.save(work.config, temporary)
    _write(work.cell.folder / "leakage.json", dataset.report)


def _train(work: Work, dataset: Dataset, features: ReferenceFeatures, loggers: list[Logger], started: float) -> None:
    """Trains and writes training.json; started: when the reference features were asked for."""
    config, cell = work.config, work.cell
    looked = time.perf_counter() - started
    if is_baseline(config):
        made = fit_baseline(config, dataset, cell.folder, str(run_device(config.trainer)), loggers)
    else:
        made = train(config, dataset, cell.folder, work.stages, features, loggers)
    made |= {
        "seconds": {"reference features": looked, **made["seconds"]},
        "dataset": {"name": dataset.name, "simulated": dataset.simulated, "content_hash": dataset.content_hash},
        "stages": {name: str(stage.folder) for name, stage in work.stages.items()},
        "scale": config.scale,
        "seed": config.seed,
        "provenance": provenance(),
        "wall_seconds": time.perf_counter() - started,
    }
    if is_rank_zero():
        _write(cell.folder / TRAINING, made)
        # With training.json in place nothing will resume: weights/ holds what was chosen.
        shutil.rmtree(cell.folder / CHECKPOINTS, ignore_errors=True)
    barrier()


def _write(file: Path, content: dict[str, Any]) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
