"""Task next_item: ranks the full catalogue for the next item of a user."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from rich.console import RenderableType

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.item_file import item_file
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.decoding.decoder import CatalogueDecoder, build_decoder
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.reference_features import text_embedder
from llmrec.examples.next_item import NextItemData
from llmrec.examples.training_data import TrainingData
from llmrec.metrics.base import Metric
from llmrec.metrics.shipped import CATALOGUE
from llmrec.plain import plain
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.text import PromptText
from llmrec.tasks.base import RANKING, Parts, Progress, Ranker, Task, Validated
from llmrec.tasks.catalogue_ranker import BaselineRanker, ModelRanker
from llmrec.tasks.catalogue_rankings import UNCONSTRAINED, evaluated_rows, ranking_table
from llmrec.tasks.catalogue_record import catalogue_record
from llmrec.tasks.catalogue_tables import catalogue_tables
from llmrec.tasks.catalogue_validation import VALUES, validate_titles


class NextItem(Task):
    """Ranks the full catalogue."""

    metrics = CATALOGUE
    headline = "by_title.ndcg@10"
    headline_label = "NDCG@10, full catalogue"
    row_columns = ("row", "user", "target")
    unit = "row"
    text: ClassVar[type[PromptText]] = NextItemText
    """The text of the prompts."""

    def summary(self, dataset: Dataset) -> Sequence[str]:
        return ()

    def check(self, config: DictConfig) -> None:
        decoder = self._decoder(config)
        if config.baseline.name != "none":
            return
        self.text.require_text(plain(config.prompt))
        if decoder.generates_text and item_file(plain(config["items"])) is not None:
            raise InputError(
                f"decoding={type(decoder).__name__} generates titles as text, but items.file represents them by "
                "tokens. Use another decoding, such as decoding=trie, or items=titles"
            )

    def prompt(self, config: DictConfig, items: Items) -> PromptText:
        return self.text.of(config, items)

    def pretraining(self, config: DictConfig, dataset: Dataset) -> NextItemTexts:
        return NextItemTexts(self.prompt(config, dataset.items), dataset)

    def data(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> NextItemData:
        return NextItemData(dataset, backbone, config, cache_dir)

    def validation_sample(self, dataset: Dataset, config: DictConfig) -> Rows:
        return dataset.valid.take(draw(len(dataset.valid), config.validation.users, config.validation.sample_seed))

    @property
    def validation_names(self) -> Sequence[str]:
        return VALUES

    def validate(self, backbone: Backbone, data: TrainingData, rows: np.ndarray, config: DictConfig) -> Validated:
        assert isinstance(data, NextItemData)
        return validate_titles(backbone, data, rows, config.validation.beams)

    def model_ranker(self, backbone: Backbone, dataset: Dataset, config: DictConfig, cache_dir: Path) -> Ranker:
        data = NextItemData(dataset, backbone, config, cache_dir)
        embedder = partial(text_embedder, config, dataset, cache_dir, str(backbone.device))
        return ModelRanker(backbone, data, self._decoder(config), embedder)

    def baseline_ranker(self, name: str, baseline: Baseline, dataset: Dataset, config: DictConfig) -> Ranker:
        return BaselineRanker(name, baseline, dataset, self._decoder(config))

    def parts(self, config: DictConfig) -> Sequence[str]:
        generates = config.evaluation.unconstrained and config.baseline.name == "none"
        return (RANKING, UNCONSTRAINED) if generates else (RANKING,)

    def passes(self, part: str, dataset: Dataset, split: str, config: DictConfig) -> int:
        return len(evaluated_rows(dataset, split, config))

    def rank(
        self, part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
    ) -> pa.Table:
        return ranking_table(part, ranker, dataset, split, config, folder, progress)

    def record(
        self,
        parts: Parts,
        dataset: Dataset,
        split: str,
        config: DictConfig,
        features: ReferenceFeatures,
        metrics: Sequence[Metric],
    ) -> tuple[dict[str, Any], pa.Table]:
        return catalogue_record(parts, dataset, split, config, features, metrics)

    def tables(self, splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Sequence[RenderableType]:
        return catalogue_tables(splits, metrics)

    def _decoder(self, config: DictConfig) -> CatalogueDecoder:
        decoder = build_decoder(config.decoding, self.name)
        assert isinstance(decoder, CatalogueDecoder)
        return decoder
