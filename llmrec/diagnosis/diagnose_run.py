"""Diagnoses context bias of a trained run: compares the model before and after tuning on the same rows."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.relevance import title_relevance
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.decoder import CatalogueDecoder, RowDecoder, build_decoder
from llmrec.decoding.open_backbone import build_backbone
from llmrec.decoding.rank import history_leaves
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
from llmrec.diagnosis.sample import sampled_rows
from llmrec.diagnosis.stored import Diagnosis, run_facts
from llmrec.diagnosis.table import STATES, diagnosis_title, print_diagnosis
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.tasks.base import build_task
from llmrec.training.open_run import CHANGED, identity, open_trained, resolve_temperature
from llmrec.training.run_folder import RunFolder

TOP_K = 10
"""Number of recommendations per row that are analyzed."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelMeasures:
    """Measures of one model on some rows.

    Attributes:
        attribution: The result of `attribution_figures`.
        log_probability: Log-probabilities of the tokens of each row's target title, float32 [length] each.
        recommended: Distinct titles, int32 [rows, at most 10]; -1 = no more.
    """

    attribution: dict[str, Any]
    log_probability: list[np.ndarray]
    recommended: np.ndarray

    def figures(self, targets: np.ndarray, relevance: list[np.ndarray]) -> dict[str, Any]:
        """Returns the figures of the record.

        Args:
            targets: The distinct title of each row's target, int [rows].
            relevance: Log-probabilities of the tokens of each distinct title after the history-free prompt, float32
                [length] each.
        """
        share = most_relevant_share(self.recommended, _title_relevance(relevance))
        losses = loss_by_relevance(self.log_probability, [relevance[title] for title in targets])
        return self.attribution | {"most_relevant": share, "by_relevance": losses}


def diagnose_run(config: DictConfig, dataset: Dataset, run: RunFolder, sample: dict[str, Any]) -> dict[str, Any]:
    """Computes the record of a diagnosis: its settings, and the figures before and after tuning with their counts.

    Arguments: as in `diagnose`. Source: feature ablation as the tool is from a secondary source on arXiv 2510.10978;
    the rest is our reading.
    """
    started = time.perf_counter()
    config = resolve_temperature(config, run)
    after = _after(config, dataset, run, sample)
    before, targets, relevance = _before(config, dataset, run, sample)
    return {
        **run_facts(config, dataset, run, sample),
        "unit": "nats",
        "rows": len(targets),
        "before": before.figures(targets, relevance),
        "after": after.figures(targets, relevance),
        "titles": len(relevance),
        "seconds": time.perf_counter() - started,
    }


def _after(config: DictConfig, dataset: Dataset, run: RunFolder, sample: dict[str, Any]) -> ModelMeasures:
    backbone = open_trained(config, dataset, run)
    data = NextItemData(dataset, backbone, config, Path(config.paths.cache))
    return _measure(config, data, backbone, sample, "after")


def _before(
    config: DictConfig, dataset: Dataset, run: RunFolder, sample: dict[str, Any]
) -> tuple[ModelMeasures, np.ndarray, list[np.ndarray]]:
    """Returns the measures before any tuning, each row's target title, and each title's relevance by token."""
    cache_dir = Path(config.paths.cache)
    backbone = build_backbone(config, dataset, build_task(config).pretraining(config, dataset), cache_dir)
    current = identity(backbone, dataset)
    changed = [name for name, value in run.training["identity"].items() if current[name] != value]
    if changed:
        raise InputError(
            f"the backbone that {run.folder} was tuned from has {CHANGED[changed[0]]} now. Restore the backbone, "
            "or train again."
        )
    data = NextItemData(dataset, backbone, config, cache_dir)
    with backbone.without_adapter():
        measured = _measure(config, data, backbone, sample, "before")
        relevance = title_relevance(backbone, *data.history_free_titles(), cache_dir)
    return measured, data.target_titles(sampled_rows(dataset, sample)), relevance


def _title_relevance(relevance: list[np.ndarray]) -> np.ndarray:
    """Sums the log-probabilities of each title's tokens, float64 [distinct titles]."""
    return np.array([tokens.sum(dtype=np.float64) for tokens in relevance])


def _measure(
    config: DictConfig, data: NextItemData, backbone: Backbone, sample: dict[str, Any], state: str
) -> ModelMeasures:
    rows = sampled_rows(data.dataset, sample)
    ablation = ablate(data, rows)
    disable = None if config.trainer.progress else True
    with tqdm(total=(PASSES + 1) * len(rows), desc=STATES[state], unit="pass", disable=disable) as bar:
        attribution, log_probability = attributions(backbone, ablation, bar.update)
        recommended = _recommended(config, data, backbone, rows, ablation, bar)
    figures = attribution_figures(attribution, ablation.segment_tokens())
    return ModelMeasures(figures, log_probability, recommended)


def _recommended(
    config: DictConfig, data: NextItemData, backbone: Backbone, rows: Rows, ablation: Ablation, bar: tqdm
) -> np.ndarray:
    decoder = build_decoder(config.decoding, config.task.name)
    assert isinstance(decoder, CatalogueDecoder)
    excluded = history_leaves(rows, data.dataset.items, data.trie) if decoder.exclude_history else None
    return decoder.rank(backbone, data.trie, ablation.prompts, excluded, bar.update)[0][:, :TOP_K]


def _write(folder: Path, record: dict[str, Any]) -> None:
    write_plot(folder, diagnosis_title(record), {heading: record[state] for state, heading in STATES.items()})


def _check(config: DictConfig) -> None:
    """Refuses a decoder that ranks by more than prompts, which is not the model's reliance on them."""
    decoder = build_decoder(config.decoding, config.task.name)
    if isinstance(decoder, RowDecoder):
        raise InputError(
            f"the decoder {type(decoder).__name__} ranks by more than prompts and is not diagnosed: add decoding=trie"
        )


CONTEXT_BIAS = Diagnosis(diagnose_run, _write, print_diagnosis, _check)
"""The diagnosis of context bias."""
