"""What a run gives its objective before training: implements `llmrec.objectives.preparation.Preparation`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Dataset
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData
from llmrec.examples.training_data import TrainingData


@dataclass(frozen=True)
class RunPreparation:
    """See `Preparation`.

    Attributes:
        backbone: The model that training starts from.
        trie: The trie of valid responses, on the model's device.
        data: The data module of the run, set up for training.
        cache_dir: The folder of llmrec's disk cache.
        stage: The folder of the run that training starts from, if any.
        seed: The seed of the run.
        open_base: Opens the backbone as it was before any tuning.
        embed_titles: Embeds the distinct titles with the model of a given name.
        open_oracle: Opens the oracle; returns None if the run has none.
        fit_oracle: Fits the oracle's baseline anew, to the training rows of another dataset.
        oracle_key: The key of the run that fitted the oracle, None if the run has none.
    """

    backbone: Backbone
    trie: Trie | Permutations
    data: TrainingData
    cache_dir: Path
    stage: Path | None
    seed: int
    open_base: Callable[[], Backbone]
    embed_titles: Callable[[str], np.ndarray]
    open_oracle: Callable[[], object | None] = lambda: None
    fit_oracle: Callable[[Dataset], object] = lambda dataset: None
    oracle_key: str | None = None

    @property
    def catalogue(self) -> NextItemData:
        assert isinstance(self.data, NextItemData)
        return self.data

    @property
    def lists(self) -> RerankData:
        assert isinstance(self.data, RerankData)
        return self.data
