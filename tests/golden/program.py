"""How the golden tests reach llmrec: they compose a run, have it done, and read what its folder holds.

This is the only module of the golden tests that knows llmrec's functions and the files of a run. After a refactoring
that moves either, it is the only one to edit.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from llmrec.compose import compose_run, shipped_config
from llmrec.datasets.dataset import Dataset
from llmrec.training.module import Recommender
from llmrec.training.open_dataset import read_dataset
from llmrec.training.overrides import override
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder, resolved_config, run_path

BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")
"""Curves that no two runs share."""
STEP = "train/"
"""What the names of curves by optimizer step begin with."""
KEPT = ("chosen_epoch", "chosen_by", "optimizer_steps", "trained_parameters", "objective", "baseline")
"""What is compared of a training's record: the rest is provenance and times."""


class Interruption(Exception):
    """Ends a training before its time."""


Ranking = dict[str, Any]
"""The user, what was ranked, best first (titles of the catalogue, or the items of a candidate list), titles' scores."""


def run(root: Path, overrides: Sequence[str]) -> Path:
    """Trains and evaluates a run, unless it is done.

    Args:
        root: The folder of the data, the cache and the runs.
        overrides: What a user would type after `python -m llmrec.run`.

    Returns:
        The folder of the run.
    """
    with _one_thread(), shipped_config():
        config = compose_run([*overrides, *_paths(root)])
        HydraConfig.instance().set_config(config)
        folder = root / "runs" / run_path(config)
        run_configuration(config)
    return folder


def interrupt(root: Path, overrides: Sequence[str], steps: int) -> None:
    """Starts a run whose training fails before a step, and leaves its checkpoints.

    Args:
        root: The folder of the data, the cache and the runs.
        overrides: What a user would type after `python -m llmrec.run`.
        steps: Number of steps that are taken.
    """
    take = Recommender.training_step

    def fail_after(module: Recommender, *arguments: Any) -> None:
        if module.global_step == steps:
            raise Interruption
        take(module, *arguments)

    with mock.patch.object(Recommender, "training_step", fail_after), suppress(Interruption):
        run(root, overrides)


def open_run(root: Path, overrides: Sequence[str]) -> tuple[DictConfig, Dataset]:
    """Returns the resolved config of a run and its dataset."""
    with shipped_config():
        config = compose_run([*overrides, *_paths(root)])
        resolved = OmegaConf.create(resolved_config(config))
    assert isinstance(resolved, DictConfig)
    return resolved, read_dataset(resolved)


def evaluate(root: Path, folder: Path, overrides: Sequence[str]) -> Path:
    """Ranks with a trained run once more.

    Args:
        root: As for `run`.
        folder: The folder of the run.
        overrides: What a user would type after `python -m llmrec.evaluate run=...`; empty: as the run was evaluated.

    Returns:
        The folder of the evaluation.
    """
    run = RunFolder(folder)
    config = override(run.config(), [*overrides, *_paths(root)])
    with _one_thread():
        evaluate_again(run, config)
    return run.ranking(config)


def curves(folder: Path) -> dict[str, list[float]]:
    """Returns the logged values of the steps of a training, by name; none of one without a step."""
    values: dict[str, list[float]] = {}
    if not (folder / "curves.csv").exists():
        return values
    with open(folder / "curves.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"].startswith(STEP) and row["metric"] not in BY_THE_CLOCK:
                values.setdefault(row["metric"], []).append(float(row["value"]))
    return values


def weights(folder: Path) -> dict[str, Tensor]:
    """Returns the weights that a training left, by name: those of the adapter, where there is one."""
    files = sorted((folder / "weights").glob("*.safetensors"))
    return {name: weight for file in files for name, weight in load_file(file).items()}


def stage(folder: Path) -> Path | None:
    """Returns the folder of the run whose weights a training started from, None where it is of no other run."""
    start = _training(folder)["stages"].get("start")
    return None if start is None else Path(start)


def training(folder: Path) -> dict[str, Any]:
    """Returns what a training's record holds besides provenance and times."""
    kept = {name: value for name, value in _training(folder).items() if name in KEPT}
    kept.get("baseline", {}).pop("seconds", None)
    return kept


def metrics(evaluation: Path) -> dict[str, Any]:
    """Returns the metrics of an evaluation by split."""
    splits: dict[str, Any] = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))["splits"]
    return splits


def rankings(evaluation: Path) -> dict[str, list[Ranking]]:
    """Returns the rankings of an evaluation by split."""
    found: dict[str, list[Ranking]] = {split: [] for split in metrics(evaluation)}
    for row in pq.read_table(evaluation / "ranking.parquet").to_pylist():
        found[row["split"]].append(_ranking(row))
    return found


def _ranking(row: dict[str, Any]) -> Ranking:
    if "titles" in row:
        return {"user": row["user"], "ranked": row["titles"], "scores": row["scores"]}
    return {"user": row["user"], "ranked": row["ranked"]}


def _training(folder: Path) -> dict[str, Any]:
    return RunFolder(folder).training


def _paths(root: Path) -> list[str]:
    return [f"paths.{name}={root / name}" for name in ("data", "cache", "runs")]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Has this process and those that it starts compute with one thread: more add numbers in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
            yield
    finally:
        torch.set_num_threads(before)
