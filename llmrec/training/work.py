"""The missing work of a run, its training and an evaluation, done by one or several ranks."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from llmrec.atomic import atomic_file
from llmrec.backbones.device import run_device
from llmrec.collectives import barrier, is_rank_zero
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.leakage import split_by
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.reference_features import reference_features
from llmrec.manifest import folder_manifest
from llmrec.plain import plain
from llmrec.training.evaluate_run import evaluate_run
from llmrec.training.fit_baseline import fit_baseline
from llmrec.training.loggers import RunLabel, log_artifacts, log_summary, open_loggers
from llmrec.training.open_dataset import open_dataset
from llmrec.training.provenance import provenance
from llmrec.training.run_folder import CHECKPOINTS, CONFIG, TRAINING, RunFolder, is_baseline, run_code
from llmrec.training.stages import Stage
from llmrec.training.train import train

RECORDED = (CONFIG, TRAINING, "weights", "leakage.json", "curves.csv")
"""Files of a training that its folder's manifest lists."""


@dataclass(frozen=True)
class Work:
    """A run to train, unless it is trained already, and to evaluate.

    Attributes:
        config: The resolved run config.
        run: The run's folder.
        record: Folder of the evaluation.
        stages: Finished stages that the run depends on, by START and ORACLE.
        label: Name and tags of the run in W&B; None to log to curves.csv only.
    """

    config: DictConfig
    run: RunFolder
    record: Path
    stages: Mapping[str, Stage]
    label: RunLabel | None

    def to_json(self) -> str:
        """Serializes the work for another process."""
        return json.dumps(
            {
                "config": plain(self.config),
                "run": str(self.run.folder),
                "record": str(self.record),
                "stages": {name: [str(stage.folder), stage.baseline] for name, stage in self.stages.items()},
                "label": None if self.label is None else vars(self.label),
            }
        )

    @staticmethod
    def from_json(text: str) -> "Work":
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        return Work(
            config=OmegaConf.create(fields["config"]),
            run=RunFolder(Path(fields["run"])),
            record=Path(fields["record"]),
            stages={name: Stage(Path(folder), baseline) for name, (folder, baseline) in fields["stages"].items()},
            label=fields["label"] and RunLabel(**fields["label"]),
        )


def do_work(work: Work, dataset: Dataset | None = None) -> None:
    """Trains and evaluates a run. Every rank calls it; rank 0 writes the results.

    Args:
        work: The run.
        dataset: The run's dataset if it is open already.
    """
    dataset = dataset or open_dataset(work.config)
    with open_loggers(work.config, work.run.folder, work.label) as loggers:
        trained = work.run.trained
        if not trained and is_rank_zero():
            _write_config(work, dataset)
        started = time.perf_counter()
        device = str(run_device(work.config.trainer))
        # Before the training, so that a reference model that cannot be opened fails at once.
        features = reference_features(work.config, dataset, Path(work.config.paths.cache), device)
        if not trained:
            _train(work, dataset, features, loggers, started)
        log_summary(loggers, evaluate_run(work.config, dataset, work.run, work.record, features))
        log_artifacts(work.config, loggers, work.run.folder, work.record)


def _write_config(work: Work, dataset: Dataset) -> None:
    with atomic_file(work.run.config_file) as temporary:
        OmegaConf.save(work.config, temporary)
    _write(work.run.folder / "leakage.json", dataset.report)


def _train(work: Work, dataset: Dataset, features: ReferenceFeatures, loggers: list[Logger], started: float) -> None:
    """Trains and writes training.json; `started` is the time before the reference features were computed."""
    config, run = work.config, work.run
    reference_seconds = time.perf_counter() - started
    if is_baseline(config):
        training = fit_baseline(config, dataset, run.folder, str(run_device(config.trainer)), loggers)
    else:
        training = train(config, dataset, run.folder, work.stages, features, loggers)
    training |= {
        "seconds": {"reference features": reference_seconds, **training["seconds"]},
        "dataset": {
            "name": dataset.name,
            "simulated": dataset.simulated,
            "content_hash": dataset.content_hash,
            "split_by": split_by(dataset.report),
        },
        "stages": {name: str(stage.folder) for name, stage in work.stages.items()},
        "scale": config.scale,
        "seed": config.seed,
        "code": {step: asdict(code) for step, code in run_code(config).items() if step in ("data", "training")},
        "provenance": provenance(),
        "wall_seconds": time.perf_counter() - started,
    }
    if is_rank_zero():
        with folder_manifest(run.folder).recorded(*RECORDED):
            _write(run.folder / TRAINING, training)
        # A finished training is never resumed, and weights/ holds the selected weights.
        shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    barrier()


def _write(file: Path, content: dict[str, Any]) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
