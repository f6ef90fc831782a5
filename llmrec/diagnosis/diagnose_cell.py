"""Diagnoses a trained cell: the model before tuning and after it on the same rows, as a table, figures and a plot."""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.atomic import atomic_file
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import build_backbone
from llmrec.backbones.relevance import catalogue_relevance
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import history_leaves, rank_titles
from llmrec.diagnosis.attribution import (
    PASSES,
    Ablation,
    ablate,
    attribution_figures,
    attributions,
    loss_by_relevance,
    most_relevant_share,
)
from llmrec.diagnosis.plot import write_plot
from llmrec.diagnosis.table import STATES, diagnosis_title, print_diagnosis
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.training.cells import Cell
from llmrec.training.fingerprint import diagnosis_fingerprint
from llmrec.training.open_dataset import announce, open_dataset
from llmrec.training.quiet import quiet
from llmrec.training.rankers import CHANGED, open_trained
from llmrec.training.train import identity

DIAGNOSIS_FILE = "diagnosis.json"
TOP = 10
"""Recommendations of a row that are looked at."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What was measured of one model on some rows.

    attribution: `attribution_figures`; log_probability: float32 [length], of each row's target title; recommended:
    titles int32 [rows, at most 10], -1 = no more.
    """

    attribution: dict[str, Any]
    log_probability: list[np.ndarray]
    recommended: np.ndarray

    def figures(self, targets: np.ndarray, relevance: list[np.ndarray]) -> dict[str, Any]:
        """The figures of the record; targets: int [rows]; relevance: float32 [length] of each distinct title."""
        share = most_relevant_share(self.recommended, _of_titles(relevance))
        losses = loss_by_relevance(self.log_probability, [relevance[title] for title in targets])
        return self.attribution | {"most_relevant": share, "by_relevance": losses}


def diagnose(cell: Cell, config: DictConfig, sample: dict[str, Any]) -> None:
    """Diagnoses a trained cell, or reads what was found before, and prints the table.

    config: the cell's own, with the groups decoding and paths as they should be used; sample: the rows that are looked
    at, as users (how many), seed and split ("valid" or "test"). Raises InputError for a cell that is not trained, does
    not fit the data, or whose model before tuning is not at hand.
    """
    quiet()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not cell.trained:
        raise InputError(f"{cell.folder} is not trained yet: finish it with the command that began it")
    announce(config)
    with cell.lock():
        folder = cell.folder / "diagnosis" / diagnosis_fingerprint(plain(config), sample)
        if not (folder / DIAGNOSIS_FILE).is_file():
            _write(folder, diagnose_cell(config, open_dataset(config), cell, sample))
        else:
            logger.info("this diagnosis is done already; it is read from %s", folder)
    print_diagnosis(json.loads((folder / DIAGNOSIS_FILE).read_text(encoding="utf-8")), folder)


def diagnose_cell(config: DictConfig, dataset: Dataset, cell: Cell, sample: dict[str, Any]) -> dict[str, Any]:
    """The record of a diagnosis: its settings, and the figures before and after tuning with what they are means over.

    Arguments as in `diagnose`. Source: that ablation is the tool, a secondary source on arXiv 2510.10978; the rest,
    our reading.
    """
    started = time.perf_counter()
    after = _after(config, dataset, cell, sample)
    before, targets, relevance = _before(config, dataset, cell, sample)
    place = cell.folder.resolve()
    return {
        "dataset": dataset.name,
        "simulated": dataset.simulated,
        "objective": place.parent.name,
        "training": place.name,
        "sample": sample,
        "decoding": plain(config.decoding),
        "unit": "nats",
        "rows": len(targets),
        "before": before.figures(targets, relevance),
        "after": after.figures(targets, relevance),
        "titles": len(relevance),
        "seconds": time.perf_counter() - started,
    }


def _after(config: DictConfig, dataset: Dataset, cell: Cell, sample: dict[str, Any]) -> Measured:
    backbone, data = open_trained(config, dataset, cell)
    return _measure(config, data, backbone, sample, "after")


def _before(
    config: DictConfig, dataset: Dataset, cell: Cell, sample: dict[str, Any]
) -> tuple[Measured, np.ndarray, list[np.ndarray]]:
    """The model before any tuning, each row's target title, and each title's relevance under that model by token."""
    cache_dir = Path(config.paths.cache)
    backbone = build_backbone(config, dataset, cache_dir)
    now = identity(backbone, dataset)
    changed = [name for name, value in cell.training["identity"].items() if now[name] != value]
    if changed:
        raise InputError(
            f"the backbone that {cell.folder} was tuned from has {CHANGED[changed[0]]} now: bring back the one it had, "
            "or train again"
        )
    data = NextItemData(dataset, backbone, config, cache_dir)
    with backbone.without_adapter():
        measured = _measure(config, data, backbone, sample, "before")
        relevance = catalogue_relevance(backbone, data, cache_dir)
    return measured, data.target_titles(_rows(dataset, sample)), relevance


def _of_titles(relevance: list[np.ndarray]) -> np.ndarray:
    """float64 [distinct titles]: log-probability of each title."""
    return np.array([tokens.sum(dtype=np.float64) for tokens in relevance])


def _measure(
    config: DictConfig, data: NextItemData, backbone: Backbone, sample: dict[str, Any], state: str
) -> Measured:
    rows = _rows(data.dataset, sample)
    ablation = ablate(data, rows)
    shown = None if config.trainer.progress else True
    with tqdm(total=(PASSES + 1) * len(rows), desc=STATES[state], unit="pass", disable=shown) as bar:
        attribution, log_probability = attributions(backbone, ablation, bar.update)
        recommended = _recommended(config, data, backbone, rows, ablation, bar)
    figures = attribution_figures(attribution, ablation.segment_tokens())
    return Measured(figures, log_probability, recommended)


def _rows(dataset: Dataset, sample: dict[str, Any]) -> Rows:
    rows: Rows = getattr(dataset, sample["split"])
    if len(rows) == 0:
        raise InputError(
            f"the {sample['split']} split of {dataset.name} has no rows to look at: choose the other split"
        )
    return rows.take(draw(len(rows), sample["users"], sample["seed"]))


def _recommended(
    config: DictConfig, data: NextItemData, backbone: Backbone, rows: Rows, ablation: Ablation, bar: tqdm
) -> np.ndarray:
    decoding = config.decoding
    settings = BeamSearch(decoding.beams, decoding.scores, decoding.length_penalty)
    excluded = history_leaves(rows, data.dataset.items, data.trie) if decoding.exclude_history else None
    return rank_titles(backbone, data.trie, ablation.prompts, settings, excluded, bar.update)[0][:, :TOP]


def _write(folder: Path, record: dict[str, Any]) -> None:
    write_plot(folder, diagnosis_title(record), {heading: record[state] for state, heading in STATES.items()})
    # Last: where it is, the diagnosis is whole.
    with atomic_file(folder / DIAGNOSIS_FILE) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
