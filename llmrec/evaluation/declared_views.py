"""How the one base model that is declared for a dataset sees its titles: their relevance, and how alike they are.

Records of different objectives, backbones and baselines compare only if bins and similarities come from one model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.embeddings import sentence_embeddings, title_embeddings
from llmrec.backbones.load import build_backbone
from llmrec.backbones.relevance import catalogue_relevance
from llmrec.conf_dir import conf_dir
from llmrec.datasets.data_module import NextItemData
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation.declared_model import declared_model


@dataclass(frozen=True)
class TitleViews:
    """What is known of the distinct titles before any tuning; None = not measured.

    relevance: float64 [titles], log P(title | prompt without history), summed over tokens; embeddings: float32
    [titles, size], of length 1, so that a product is a cosine.
    """

    relevance: np.ndarray | None = None
    embeddings: np.ndarray | None = None


def declared_views(config: DictConfig, dataset: Dataset, cache_dir: Path, device: str) -> TitleViews:
    """Both views, kept in the cache; config: the resolved run config, whose evaluation group declares the models.

    Raises InputError for a model that cannot be opened.
    """
    declared = config.evaluation
    opened = _open(config, dataset, cache_dir, device, declared.relevance_model)
    relevance = None
    if opened is not None:
        tokens = catalogue_relevance(*opened, cache_dir)
        relevance = np.array([title.sum(dtype=np.float64) for title in tokens])
    return TitleViews(relevance, _embeddings(opened, dataset, cache_dir, device, declared.sentence_model))


def declared_embeddings(
    config: DictConfig, dataset: Dataset, cache_dir: Path, device: str, model: str | None, sentence_model: str | None
) -> np.ndarray:
    """The embeddings alone, of models that are named as evaluation.relevance_model and evaluation.sentence_model are.

    Raises InputError when neither is named.
    """
    opened = None if sentence_model else _open(config, dataset, cache_dir, device, model)
    embeddings = _embeddings(opened, dataset, cache_dir, device, sentence_model)
    if embeddings is None:
        raise InputError(
            "similar titles need a model that embeds them: set evaluation.relevance_model=tiny, or evaluation."
            "sentence_model to a sentence-transformers model"
        )
    return embeddings


def _embeddings(
    opened: tuple[Backbone, NextItemData] | None, dataset: Dataset, cache_dir: Path, device: str, sentences: str | None
) -> np.ndarray | None:
    if sentences:
        return sentence_embeddings(sentences, dataset.items.distinct_titles, cache_dir, device)
    return None if opened is None else title_embeddings(*opened, cache_dir)


def _open(
    config: DictConfig, dataset: Dataset, cache_dir: Path, device: str, name: str | None
) -> tuple[Backbone, NextItemData] | None:
    model = declared_model(name, config.scale)
    if model is None:
        return None
    if name != "tiny":
        # Its rows have no history, so that their limit changes no result; it may have fewer positions than by default.
        model["max_length"] = config.backbone.max_length
    adapter = OmegaConf.load(Path(conf_dir()) / "adapter" / "none.yaml")
    declared = OmegaConf.create({**config, "backbone": model, "adapter": adapter})
    try:
        backbone = build_backbone(declared, dataset, cache_dir)
    except InputError as error:
        raise InputError(f"evaluation.relevance_model={name}: {error}") from error
    return backbone, NextItemData(dataset, backbone, declared, cache_dir)
