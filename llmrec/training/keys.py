"""Keys of trainings, evaluations and diagnoses: hashes of the settings, data and code that determine a result.

Imports the standard library and OmegaConf only, because Hydra needs a run's folder before heavy imports.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmrec.code_hash import code_hash
from llmrec.datasets.source import Source
from llmrec.evaluation.reference_model import embeds_by_reference, reference_model

TRAINING_CODE = (
    "collectives.py",
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "examples",
    "evaluation/accuracy.py",
    "evaluation/graded.py",
    "evaluation/streaming.py",
    "objectives/base.py",
    "prompts",
    "training/checkpoints.py",
    "training/memory.py",
    "training/module.py",
    "training/sharded.py",
    "training/train.py",
    "training/validation.py",
)
REFERENCE_CODE = ("evaluation/reference_features.py", "evaluation/reference_model.py")
"""Code of the reference model's embeddings, for objectives that use them."""
BASELINE_CODE = (
    "catalogue/items.py",
    "datasets",
    "baselines",
    "evaluation/accuracy.py",
    "training/fit_baseline.py",
)
EVALUATION_CODE = (
    "collectives.py",
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "examples",
    "evaluation",
    "prompts",
    "training/evaluate_run.py",
    "training/list_rankers.py",
    "training/measure_catalogue.py",
    "training/measure_lists.py",
    "training/rankers.py",
)
DIAGNOSIS_CODE = (
    "collectives.py",
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "examples",
    "diagnosis/attribution.py",
    "diagnosis/diagnose_run.py",
    "evaluation/fairness.py",
    "objectives/groups.py",
    "prompts",
    "training/evaluate_run.py",
    "training/rankers.py",
)
TRAINING_GROUPS = ("dataset", "task", "prompt", "objective", "backbone", "adapter", "trainer", "validation", "seed")
BASELINE_GROUPS = ("dataset", "task", "baseline", "seed")
EVALUATION_GROUPS = ("decoding", "evaluation")
NOT_DATA = ("source", "simulator", "reference")
"""Settings of the dataset group that do not enter the training key: the data's hash covers `source` and `simulator`,
and `reference` is used for evaluation."""
NOT_WEIGHTS = ("accelerator", "devices", "strategy", "progress")
"""Settings of the trainer group that determine where a training runs, not its result."""


def training_key(config: dict[str, Any], source: Source, stages: Mapping[str, str]) -> str:
    """Returns the key of a training, from the config, data and code that determine the weights.

    Args:
        config: The resolved run config as plain containers.
        source: Source of the run's data.
        stages: Training keys of the run's stages, by name.

    Returns:
        16 hex digits.
    """
    is_baseline = config["baseline"]["name"] != "none"
    groups = {group: config[group] for group in (BASELINE_GROUPS if is_baseline else TRAINING_GROUPS)}
    groups["dataset"] = {key: value for key, value in groups["dataset"].items() if key not in NOT_DATA}
    if is_baseline:
        return _short(groups, source.content_hash, code_hash(BASELINE_CODE, _targets(groups)))
    groups["trainer"] = {key: value for key, value in groups["trainer"].items() if key not in NOT_WEIGHTS}
    places, embedder = list(TRAINING_CODE), None
    if embeds_by_reference(config["objective"]):
        places.extend(REFERENCE_CODE)
        embedder = reference_model(config, source.simulated).embedder().settings(config["scale"])
    code = code_hash(places, _targets(groups))
    return _short(groups, source.content_hash, dict(stages), embedder, code)


def evaluation_key(config: dict[str, Any], simulated: bool) -> str:
    """Returns the key of an evaluation, from the config and code that decode and measure a trained run.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data is simulated, which determines the default reference model.

    Returns:
        16 hex digits.
    """
    groups = {group: config[group] for group in EVALUATION_GROUPS}
    reference = reference_model(config, simulated).settings(config["scale"])
    return _short(groups, reference, code_hash(EVALUATION_CODE, _targets(groups)))


def diagnosis_key(config: dict[str, Any], sample: dict[str, Any]) -> str:
    """Returns the key of a diagnosis, from the sample, the decoding and the code that diagnose a trained run.

    Args:
        config: The resolved run config as plain containers.
        sample: The settings that draw the sampled rows.

    Returns:
        16 hex digits.
    """
    return _short(sample, config["decoding"], code_hash(DIAGNOSIS_CODE, ()))


def _targets(settings: Any) -> Iterator[str]:
    """Yields the modules of the classes that settings name as `_target_`, at any depth."""
    if isinstance(settings, dict):
        if isinstance(settings.get("_target_"), str):
            yield settings["_target_"].rpartition(".")[0]
        settings = list(settings.values())
    for value in settings if isinstance(settings, list) else ():
        yield from _targets(value)


def _short(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
