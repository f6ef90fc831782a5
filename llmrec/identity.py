"""Keys of the steps of a run: prepared data, base model, training, ranking, measuring, diagnosis.

A key hashes the keys of the step's inputs, its settings, and its code (`llmrec.components`). Imports the standard
library and OmegaConf only, because Hydra needs a run's folder before heavy imports.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec.catalogue.item_file import items_identity
from llmrec.code_hash import is_module
from llmrec.components import Code, code, digest
from llmrec.evaluation.reference_model import PACKAGE, REFERENCE, embeds_by_reference, reference_model
from llmrec.file_hash import files_hash
from llmrec.installed import installed_folder
from llmrec.versions import LATER_PROMPTS

MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "*.jinja", "*.gguf", "*.py")
"""Files that determine what a saved model and its tokenizer compute."""
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
"""Settings of the dataset group that do not enter the training key: the data's key covers `source`, `reader` and
`simulator`, and `reference` is used for evaluation."""
NOT_WEIGHTS = (
    "accelerator",
    "devices",
    "nodes",
    "strategy",
    "progress",
    "checkpoint_minutes",
    "checkpoint_steps",
)
"""Settings of the trainer group that determine where a training runs and how often it is saved, not its result."""
BASE_MODEL = ("name", "path", "package", "gguf_file")
"""Settings of the backbone group that name a saved model."""


def prepared_key(layout: int, settings: Mapping[str, Any], files: Mapping[str, str], prepared_by: Code) -> str:
    """Returns the key of a prepared dataset.

    Args:
        layout: Version of the layout of prepared datasets.
        settings: The settings that shape the prepared dataset.
        files: Content hashes of the raw files by name.
        prepared_by: See `preparing_code`.

    Returns:
        16 hex digits.
    """
    return digest(layout, settings, dict(files), prepared_by)


def preparing_code(*modules: str) -> Code:
    """Returns the code that prepares a dataset with the reader, or the simulator, of some modules."""
    return code(["datasets"], modules)


def base_model_key(backbone: Mapping[str, Any], cache_dir: Path) -> Any:
    """Returns what identifies a base model: the content of its files, or the settings that name or make it.

    Args:
        backbone: The config group `backbone` as plain containers.
        cache_dir: llmrec's cache folder.
    """
    package, path = backbone.get("package"), backbone.get("path")
    folder = installed_folder(package) if package else Path(path).expanduser() if path else None
    if folder is None or not folder.is_dir():
        return {name: backbone.get(name) for name in BASE_MODEL}
    return files_hash(folder, [backbone["gguf_file"]] if backbone.get("gguf_file") else MODEL_FILES, cache_dir)


def training_key(config: Mapping[str, Any], data_key: str, simulated: bool, stages: Mapping[str, str]) -> str:
    """Returns the key of a training.

    Args:
        config: The resolved run config as plain containers.
        data_key: Key of the prepared data.
        simulated: Whether the data is simulated, which determines the default reference model.
        stages: Training keys of the run's stages, by name.

    Returns:
        16 hex digits.
    """
    groups = {group: config[group] for group in (BASELINE_GROUPS if _fits_baseline(config) else TRAINING_GROUPS)}
    groups["dataset"] = _without(groups["dataset"], NOT_DATA)
    if _fits_baseline(config):
        return digest(groups, data_key, training_code(config))
    cache_dir = Path(config["paths"]["cache"])
    groups["items"] = items_identity(groups["items"])
    groups["prompt"] = _without(groups["prompt"], [name for name in LATER_PROMPTS if name != config["task"]["name"]])
    groups["trainer"] = _without(groups["trainer"], NOT_WEIGHTS)
    groups["backbone"] = _without(groups["backbone"], BASE_MODEL)
    groups["adapter"] = _by_content(groups["adapter"], cache_dir)
    base, embedder = base_model_key(config["backbone"], cache_dir), None
    if embeds_by_reference(config["objective"]):
        embedder = _by_content(reference_model(config, simulated).embedder().settings(config["scale"]), cache_dir)
    groups["objective"] = _by_content(groups["objective"], cache_dir)
    return digest(groups, data_key, dict(stages), base, embedder, training_code(config))


def training_code(config: Mapping[str, Any]) -> Code:
    """Returns the code that a training depends on, apart from that of its data and stages."""
    targets = list(_targets(config["task"]))
    if _fits_baseline(config):
        return code(("datasets", "baselines", *_lists(config)), [*targets, *_targets(config["baseline"])])
    components = ["datasets", "training", "examples", "prompts", "catalogue", "backbones", *_lists(config)]
    components += ["reference"] if embeds_by_reference(config["objective"]) else []
    components += ["backbones.tiny"] if config["backbone"]["name"] == "tiny" else []
    components += ["backbones.gguf"] if config["backbone"].get("gguf_file") else []
    return code(components, [*targets, *_targets(config["objective"])])


def ranking_key(config: Mapping[str, Any], simulated: bool) -> str:
    """Returns the key of a ranking, which stands below the training key of its run.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data is simulated, which determines the default reference model.

    Returns:
        16 hex digits.
    """
    groups = {
        "decoding": _by_content(config["decoding"], Path(config["paths"]["cache"])),
        "evaluation": {name: config["evaluation"][name] for name in RANKED_ROWS},
    }
    if embeds_by_reference(config["decoding"]):
        embedder = reference_model(config, simulated).embedder().settings(config["scale"])
        groups["embedder"] = _by_content(embedder, Path(config["paths"]["cache"]))
    return digest(groups, ranking_code(config))


def ranking_code(config: Mapping[str, Any]) -> Code:
    """Returns the code by which a trained run ranks."""
    components = ["ranking", "examples", "prompts", "catalogue", "backbones"]
    components += ["reference"] if "embeddings" in config["decoding"] else []
    # The assistant's settings are part of the group, and its data and seed are those of the training.
    components += ["datasets", "baselines"] if "_target_" in (config["decoding"].get("assistant") or {}) else []
    return code(components, [*_targets(config["task"]), *_targets(config["decoding"])])


def measuring_key(config: Mapping[str, Any], simulated: bool) -> str:
    """Returns the key of a ranking's metrics.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data is simulated, which determines the default reference model.

    Returns:
        16 hex digits.
    """
    groups = {"evaluation": config["evaluation"], "metrics": config["metrics"]}
    cache_dir = Path(config["paths"]["cache"])
    reference = _by_content(reference_model(config, simulated).settings(config["scale"]), cache_dir)
    return digest(groups, reference, measuring_code(config))


def measuring_code(config: Mapping[str, Any]) -> Code:
    """Returns the code that computes the metrics of a ranking."""
    # Of a shipped task, the component metrics has what measures.
    own = [module for module in _targets(config["task"]) if not module.startswith("llmrec.")]
    return code(("metrics", "reference"), [*own, *_targets(config["metrics"])])


def diagnosis_key(config: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    """Returns the key of a diagnosis of a trained run.

    Args:
        config: The resolved run config as plain containers.
        sample: The settings that draw the sampled rows.

    Returns:
        16 hex digits.
    """
    components = ("diagnosis", "examples", "prompts", "catalogue", "backbones")
    return digest({"decoding": config["decoding"]}, dict(sample), code(components, _targets(config["decoding"])))


def _fits_baseline(config: Mapping[str, Any]) -> bool:
    return bool(config["baseline"]["name"] != "none")


def _lists(config: Mapping[str, Any]) -> Sequence[str]:
    return ("datasets.lists",) if "candidates" in config["task"] else ()


def _by_content(settings: Any, cache_dir: Path) -> Any:
    """Returns settings with what identifies the content of models in place of their paths.

    Models are the values of `path` and of `embeddings`, and texts in lists, that name a folder or an installed package.
    """
    if isinstance(settings, Mapping):
        named = {name: value for name, value in settings.items() if name in ("path", "embeddings")}
        inner = {name: _by_content(value, cache_dir) for name, value in settings.items() if name not in named}
        return inner | {name: _model(value, cache_dir) for name, value in named.items()}
    if isinstance(settings, list | tuple):
        return [_model(part, cache_dir) if isinstance(part, str) else _by_content(part, cache_dir) for part in settings]
    return settings


def _model(name: Any, cache_dir: Path) -> Any:
    if not isinstance(name, str) or name in ("", REFERENCE):
        return name
    folder = installed_folder(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else Path(name)
    return files_hash(folder, ("**/*",), cache_dir) if folder is not None and folder.is_dir() else name


def _without(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _module_of(target: str) -> str:
    """Returns the module of a class that `_target_` names; the class may be nested in another one."""
    module = target.rpartition(".")[0]
    outer = module
    while outer and not is_module(outer):
        outer = outer.rpartition(".")[0]
    # Without any module, the error names the one that was expected.
    return outer or module


def _targets(settings: Any) -> Iterator[str]:
    """Yields the modules of the classes that settings name as `_target_`, at any depth."""
    if isinstance(settings, Mapping):
        if isinstance(settings.get("_target_"), str):
            yield _module_of(settings["_target_"])
        settings = list(settings.values())
    for value in settings if isinstance(settings, list | tuple) else ():
        yield from _targets(value)
