"""Relevance of every title under the one base model that is declared for a dataset.

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
from llmrec.evaluation.declared_model import declared_model


def declared_relevance(config: DictConfig, dataset: Dataset, cache_dir: Path, device: str) -> np.ndarray | None:
    """float64 [distinct titles]: log P(title | history-free prompt), summed over tokens, under the declared model.

    config: the resolved run config, which declares it (see `declared_model`); None where it declares none. Raises
    InputError for a model that cannot be opened.
    """
    model = declared_model(config.evaluation.relevance_model, config.scale)
    if model is None:
        return None
    adapter = OmegaConf.load(Path(conf_dir()) / "adapter" / "none.yaml")
    declared = OmegaConf.create({**config, "backbone": model, "adapter": adapter})
    try:
        backbone = build_backbone(declared, dataset, cache_dir).to(device)
    except InputError as error:
        raise InputError(f"evaluation.relevance_model={config.evaluation.relevance_model}: {error}") from error
    data = NextItemData(dataset, backbone, declared, cache_dir)
    return np.array([tokens.sum(dtype=np.float64) for tokens in catalogue_relevance(backbone, data, cache_dir)])
