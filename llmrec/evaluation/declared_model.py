"""Which base model a dataset's relevance bins come from, whatever model a run trains. OmegaConf only."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from llmrec.conf_dir import conf_dir
from llmrec.plain import plain


def declared_model(name: str | None, scale: str) -> dict[str, Any] | None:
    """The backbone group of evaluation.relevance_model, resolved; None when none is declared.

    name: "tiny", as it ships and sized by the run's scale, so that runs of a scale share it; a folder or a hub name.
    """
    if name is None:
        return None
    folder = Path(conf_dir())
    if name != "tiny":
        return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / "hf.yaml"), {"path": name}))
    file = folder / "scale" / f"{scale}.yaml"
    # A scale of the user's own does not size the declared model: it would not be the one of other records.
    sized = OmegaConf.select(OmegaConf.load(file), "backbone", default={}) if file.is_file() else {}
    return plain(OmegaConf.merge(OmegaConf.load(folder / "backbone" / "tiny.yaml"), sized))
