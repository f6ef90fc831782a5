"""Fingerprints: what makes two trainings, or two evaluations, the same.

Standard library and OmegaConf only: Hydra asks for a run's folder before anything heavy is imported.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from llmrec.errors import InputError
from llmrec.evaluation.declared_model import declared_model

PACKAGE = Path(__file__).resolve().parent.parent
TRAINING_CODE = (
    "catalogue",
    "datasets",
    "backbones",
    "decoding",
    "evaluation/accuracy.py",
    "evaluation/declared_views.py",
    "evaluation/streaming.py",
    "objectives/base.py",
    "training/module.py",
    "training/train.py",
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
    "baselines",
    "training/evaluate_cell.py",
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
    return _short(groups, data_hash, dict(stages), code)


def evaluation_fingerprint(config: dict[str, Any]) -> str:
    """16 hex digits over the config and code that decode a trained cell and measure it."""
    groups = {group: config[group] for group in EVALUATION_GROUPS}
    declared = declared_model(config["evaluation"]["relevance_model"], config["scale"])
    return _short(groups, declared, code_hash(EVALUATION_CODE, ()))


def diagnosis_fingerprint(config: dict[str, Any], sample: dict[str, Any]) -> str:
    """16 hex digits over the sampled rows, the decoding and the code that diagnose a trained cell."""
    return _short(sample, config["decoding"], code_hash(DIAGNOSIS_CODE, ()))


def code_hash(places: Iterable[str], modules: Iterable[str]) -> str:
    """A hash of what the code does, comments and docstrings aside: files or folders of the package, modules by name."""
    files = {file for place in places for file in _files(PACKAGE / place)}
    files |= {file for module in modules for file in _with_bases(_module_file(module))}
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: (file.parent.name, file.name)):
        digest.update(f"{file.parent.name}/{file.name} {_meaning(file)}\n".encode())
    return digest.hexdigest()


def _with_bases(file: Path) -> set[Path]:
    """The file and the objectives that it builds upon: a subclass of MSL changes when MSL does."""
    imported = (node.module for node in ast.walk(_syntax(file)) if isinstance(node, ast.ImportFrom) and node.module)
    bases = [name for name in imported if name.startswith("llmrec.objectives.") and name != "llmrec.objectives.base"]
    return {file}.union(*(_with_bases(_module_file(name)) for name in bases))


def _module_file(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(
            f"_target_: there is no module {module!r}. Name a class by its module, and start the command in the folder "
            "that the module's path begins in, or add that folder to PYTHONPATH"
        )
    return Path(spec.origin)


def _files(place: Path) -> Iterable[Path]:
    return place.rglob("*.py") if place.is_dir() else [place]


def _syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _meaning(file: Path) -> str:
    tree = _syntax(file)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _targets(objective: Any) -> Iterator[str]:
    """The modules of the classes that an objective's config names, at any depth."""
    if isinstance(objective, dict):
        if isinstance(objective.get("_target_"), str):
            yield objective["_target_"].rpartition(".")[0]
        for value in objective.values():
            yield from _targets(value)


def _short(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
