"""Relevance of every title under the one base model that is declared for a dataset, whatever model a run trains.

Records of different objectives, backbones and baselines compare only if their relevance bins come from one model.
"""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.load import build_backbone
from llmrec.backbones.relevance import catalogue_relevance
from llmrec.conf_dir import conf_dir
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError


def declared_relevance(config: DictConfig, dataset: Dataset, cache_dir: Path, device: str) -> np.ndarray | None:
    """float64 [distinct titles]: log P(title | history-free prompt), summed over tokens, under the declared model.

    config: the resolved run config; evaluation.relevance_model declares: "tiny", as it ships and sized by the run's
    scale, a folder or a hub name, or null, which gives None. Raises InputError for a model that cannot be opened.
    """
    if config.evaluation.relevance_model is None:
        return None
    adapter = OmegaConf.load(Path(conf_dir()) / "adapter" / "none.yaml")
    declared = OmegaConf.create({**config, "backbone": _settings(config), "adapter": adapter})
    try:
        backbone = build_backbone(declared, dataset, cache_dir).to(device)
    except InputError as error:
        raise InputError(f"evaluation.relevance_model={config.evaluation.relevance_model}: {error}") from error
    data = NextItemData(dataset, backbone, declared, cache_dir)
    return np.array([tokens.sum(dtype=np.float64) for tokens in catalogue_relevance(backbone, data, cache_dir)])


def _settings(config: DictConfig) -> DictConfig:
    folder, name = Path(conf_dir()), config.evaluation.relevance_model
    if name != "tiny":
        return OmegaConf.merge(OmegaConf.load(folder / "backbone" / "hf.yaml"), {"path": name})  # type: ignore[return-value]
    tiny, scale = OmegaConf.load(folder / "backbone" / "tiny.yaml"), folder / "scale" / f"{config.scale}.yaml"
    # A scale of the user's own does not size the declared model: it would not be the one of other records.
    sized = OmegaConf.select(OmegaConf.load(scale), "backbone", default={}) if scale.is_file() else {}
    return OmegaConf.merge(tiny, sized)  # type: ignore[return-value]
