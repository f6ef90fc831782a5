"""Fingerprints: what makes two trainings, or two evaluations, the same.

Standard library and OmegaConf only: Hydra asks for a run's folder before anything heavy is imported.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmrec.code_hash import code_hash
from llmrec.evaluation.declared_model import declared_model

TRAINING_CODE = (
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "evaluation/accuracy.py",
    "evaluation/declared_views.py",
    "evaluation/graded.py",
    "evaluation/streaming.py",
    "objectives/base.py",
    "training/module.py",
    "training/train.py",
    "training/validation.py",
)
BASELINE_CODE = (
    "catalogue/items.py",
    "datasets",
    "baselines",
    "evaluation/accuracy.py",
    "training/fit_baseline.py",
)
EVALUATION_CODE = (
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "evaluation",
    "baselines/base.py",
    "baselines/popularity.py",
    "training/evaluate_cell.py",
    "training/list_rankers.py",
    "training/measure_catalogue.py",
    "training/measure_lists.py",
    "training/rankers.py",
)
DIAGNOSIS_CODE = (
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "diagnosis/attribution.py",
    "diagnosis/diagnose_cell.py",
    "evaluation/fairness.py",
    "objectives/groups.py",
    "training/evaluate_cell.py",
    "training/rankers.py",
)
TRAINING_GROUPS = ("dataset", "task", "objective", "backbone", "adapter", "trainer", "validation", "seed")
BASELINE_GROUPS = ("dataset", "task", "baseline", "seed")
EVALUATION_GROUPS = ("decoding", "evaluation")
NOT_WEIGHTS = ("accelerator", "devices", "strategy", "progress")
"""Keys of the trainer group that say where it runs, not what comes out."""


def training_fingerprint(config: dict[str, Any], data_hash: str, stages: Mapping[str, str]) -> str:
    """16 hex digits over the config, data and code that make a cell's weights; stages: the fingerprints of its stages.

    config: the resolved run config as plain containers.
    """
    baseline = config["baseline"]["name"] != "none"
    groups = {group: config[group] for group in (BASELINE_GROUPS if baseline else TRAINING_GROUPS)}
    # The data hash says where the data comes from and what they hold.
    groups["dataset"] = {key: value for key, value in groups["dataset"].items() if key not in ("source", "simulator")}
    if baseline:
        return _short(groups, data_hash, code_hash(BASELINE_CODE, _targets(config["baseline"])))
    groups["trainer"] = {key: value for key, value in groups["trainer"].items() if key not in NOT_WEIGHTS}
    code = code_hash(TRAINING_CODE, _targets(config["objective"]))
    embedders = [declared_model(model, config["scale"]) for model in _embedders(config["objective"])]
    return _short(groups, data_hash, dict(stages), embedders, code)


def evaluation_fingerprint(config: dict[str, Any]) -> str:
    """16 hex digits over the config and code that decode a trained cell and measure it."""
    groups = {group: config[group] for group in EVALUATION_GROUPS}
    declared = declared_model(config["evaluation"]["relevance_model"], config["scale"])
    return _short(groups, declared, code_hash(EVALUATION_CODE, ()))


def diagnosis_fingerprint(config: dict[str, Any], sample: dict[str, Any]) -> str:
    """16 hex digits over the sampled rows, the decoding and the code that diagnose a trained cell."""
    return _short(sample, config["decoding"], code_hash(DIAGNOSIS_CODE, ()))


def _targets(objective: Any) -> Iterator[str]:
    """The modules of the classes that an objective's config names, at any depth."""
    if isinstance(objective, dict):
        if isinstance(objective.get("_target_"), str):
            yield objective["_target_"].rpartition(".")[0]
        for value in objective.values():
            yield from _targets(value)


def _embedders(objective: Any) -> Iterator[str | None]:
    """The base models that an objective's config names for embeddings, at any depth: what "tiny" is lies elsewhere."""
    if isinstance(objective, dict):
        if "sentence_model" in objective:
            yield objective["model"]
        for value in objective.values():
            yield from _embedders(value)


def _short(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
