"""Keys of trainings, rankings, metrics and diagnoses: hashes of the settings, data and code that determine a result.

Imports the standard library and OmegaConf only, because Hydra needs a run's folder before heavy imports.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmrec.catalogue.item_file import items_identity
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
    "objectives/batch.py",
    "objectives/preparation.py",
    "prompts",
    "training/checkpoints.py",
    "training/early_stopping.py",
    "training/memory.py",
    "training/module.py",
    "training/preparation.py",
    "training/sharded.py",
    "training/train.py",
    "tasks/catalogue_validation.py",
    "tasks/list_validation.py",
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
RANKING_CODE = (
    "collectives.py",
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "examples",
    "evaluation/graded.py",
    "evaluation/list_accuracy.py",
    "prompts",
    "tasks/catalogue_ranker.py",
    "tasks/catalogue_rankings.py",
    "tasks/list_ranker.py",
    "tasks/list_rankings.py",
)
MEASURING_CODE = (
    "datasets/fitted_rows.py",
    "datasets/popularity.py",
    "evaluation",
    "metrics",
    "tasks/catalogue_record.py",
    "tasks/list_record.py",
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
    "tasks/catalogue_ranker.py",
    "prompts",
)
TRAINING_GROUPS = (
    "dataset",
    "task",
    "items",
    "prompt",
    "objective",
    "backbone",
    "adapter",
    "trainer",
    "validation",
    "seed",
)
BASELINE_GROUPS = ("dataset", "task", "baseline", "seed")
RANKED_ROWS = ("splits", "users", "sample_seed")
"""Settings of the evaluation group that choose what is ranked; the others choose further rankings and metrics."""
NOT_DATA = ("source", "reader", "simulator", "reference")
"""Settings of the dataset group that do not enter the training key: the data's hash covers `source`, `reader`
and `simulator`, and `reference` is used for evaluation."""
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
        return _short(groups, source.content_hash, _code(BASELINE_CODE, groups))
    groups["items"] = items_identity(groups["items"])
    groups["trainer"] = {key: value for key, value in groups["trainer"].items() if key not in NOT_WEIGHTS}
    places, embedder = list(TRAINING_CODE), None
    if embeds_by_reference(config["objective"]):
        places.extend(REFERENCE_CODE)
        embedder = reference_model(config, source.simulated).embedder().settings(config["scale"])
    return _short(groups, source.content_hash, dict(stages), embedder, _code(places, groups))


def ranking_key(config: dict[str, Any]) -> str:
    """Returns the key of a ranking, from the config and code by which a trained run ranks.

    Args:
        config: The resolved run config as plain containers.

    Returns:
        16 hex digits.
    """
    groups = {"decoding": config["decoding"], "rows": {name: config["evaluation"][name] for name in RANKED_ROWS}}
    return _short(groups, _code(RANKING_CODE, groups))


def measuring_key(config: dict[str, Any], simulated: bool) -> str:
    """Returns the key of a ranking's metrics, from the config and code that compute them.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data is simulated, which determines the default reference model.

    Returns:
        16 hex digits.
    """
    groups = {"evaluation": config["evaluation"], "metrics": config["metrics"]}
    reference = reference_model(config, simulated).settings(config["scale"])
    return _short(groups, reference, _code(MEASURING_CODE, groups))


def diagnosis_key(config: dict[str, Any], sample: dict[str, Any]) -> str:
    """Returns the key of a diagnosis, from the sample, the decoding and the code that diagnose a trained run.

    Args:
        config: The resolved run config as plain containers.
        sample: The settings that draw the sampled rows.

    Returns:
        16 hex digits.
    """
    return _short(sample, config["decoding"], _code(DIAGNOSIS_CODE, {"decoding": config["decoding"]}))


def _code(places: Sequence[str], groups: Mapping[str, Any]) -> str:
    """Returns the hash of the listed code and of the modules that the settings name.

    A task that ships with llmrec names all that depends on it. Of this, what determines a result is listed.
    """
    named = [
        target
        for group, settings in groups.items()
        for target in _targets(settings)
        if group != "task" or not target.startswith("llmrec.")
    ]
    return code_hash(places, named)


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
