"""Task rerank: ranks short lists of candidates by graded relevance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from pydantic import Field
from rich.console import RenderableType

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, draw
from llmrec.datasets.lists import Lists
from llmrec.datasets.load import Loaded, with_lists
from llmrec.decoding.decoder import ListDecoder, build_decoder
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.examples.rerank import RerankData
from llmrec.examples.training_data import TrainingData
from llmrec.metrics.base import Metric
from llmrec.metrics.shipped import LISTS
from llmrec.plain import plain
from llmrec.prompts.rerank_pretraining import RerankTexts
from llmrec.prompts.rerank_text import RerankText
from llmrec.settings.types import NonNegativeInt, Seed
from llmrec.tasks.base import NAMES_NO_CANDIDATES, RANKING, Parts, Progress, Task, Validated
from llmrec.tasks.list_ranker import BaselineListRanker, ModelListRanker
from llmrec.tasks.list_rankings import ORDERS, UNCONSTRAINED, evaluated_lists, ranking_table
from llmrec.tasks.list_record import list_record
from llmrec.tasks.list_tables import lists_table
from llmrec.tasks.list_validation import VALUES, validate_lists


class Rerank(Task):
    """Ranks candidate lists. The lists are made once and are the same for all models.

    Args:
        candidates: Candidates of a list (m).
        negatives: How many of them are sampled negatives; None for the default of the relevance.
        relevance: "ratings", "next_item" or "auto".
        seed: Seed of the negatives, the order in which candidates are shown, and ties in the target order.
    """

    metrics = LISTS
    headline = "by_list.ndcg@10"
    headline_label = "NDCG@10, lists"
    row_columns = ("list", "user")
    unit = "list"
    refused: ClassVar[Mapping[str, str]] = {
        "recommend": NAMES_NO_CANDIDATES,
        "diagnose": "a ranking consists of identifiers of positions, which say nothing without the candidates. Give a "
        "run of task=next_item; evaluation.orders measures how much a ranking depends on the order shown",
    }

    def __init__(
        self,
        candidates: Annotated[int, Field(ge=2)],
        negatives: NonNegativeInt | None,
        relevance: Literal["auto", "ratings", "next_item"],
        seed: Seed,
    ) -> None:
        self.settings: dict[str, Any] = {
            "candidates": candidates, "negatives": negatives, "relevance": relevance, "seed": seed,
        }  # fmt: skip

    def prepare(self, loaded: Loaded, dataset: DictConfig, cache_dir: Path) -> Dataset:
        return with_lists(loaded, plain(dataset), cache_dir, self.settings)

    def summary(self, dataset: Dataset) -> Sequence[str]:
        return (f"task rerank: tuned on {len(dataset.lists['sample']):,} lists",)

    def check(self, config: DictConfig) -> None:
        negatives, candidates = self.settings["negatives"], self.settings["candidates"]
        if negatives is not None and negatives >= candidates:
            raise InputError(f"task.negatives={negatives} of {candidates} candidates: give at most {candidates - 1}")
        build_decoder(config.decoding, self.name)
        if config.baseline.name == "none":
            RerankText.require_text(plain(config.prompt))

    def prompt(self, config: DictConfig, items: Items) -> RerankText:
        return RerankText.of(config, items)

    def pretraining(self, config: DictConfig, dataset: Dataset) -> RerankTexts:
        return RerankTexts(self.prompt(config, dataset.items), dataset)

    def data(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> RerankData:
        return RerankData(dataset, backbone, config)

    def validation_sample(self, dataset: Dataset, config: DictConfig) -> Lists:
        lists = dataset.lists["valid"]
        return lists.take(draw(len(lists), config.validation.users, config.validation.sample_seed))

    @property
    def validation_names(self) -> Sequence[str]:
        return VALUES

    def validate(self, backbone: Backbone, data: TrainingData, rows: np.ndarray, config: DictConfig) -> Validated:
        assert isinstance(data, RerankData)
        return validate_lists(backbone, data, rows)

    def model_ranker(
        self, backbone: Backbone, dataset: Dataset, config: DictConfig, cache_dir: Path
    ) -> ModelListRanker:
        return ModelListRanker(backbone, RerankData(dataset, backbone, config), self._decoder(config))

    def baseline_ranker(
        self, name: str, baseline: Baseline, dataset: Dataset, config: DictConfig
    ) -> BaselineListRanker:
        return BaselineListRanker(name, baseline, dataset)

    def parts(self, config: DictConfig) -> Sequence[str]:
        parts = [RANKING]
        if config.evaluation.orders > 1:
            parts.append(f"{ORDERS}_{config.evaluation.orders}")
        if config.evaluation.unconstrained and config.baseline.name == "none":
            parts.append(UNCONSTRAINED)
        return parts

    def passes(self, part: str, dataset: Dataset, split: str, config: DictConfig) -> int:
        lists = len(evaluated_lists(dataset, split, config))
        if part == UNCONSTRAINED:
            return lists
        per_order = 1 if config.baseline.name != "none" else self._decoder(config).bootstrap
        return lists * per_order * (1 if part == RANKING else int(config.evaluation.orders) - 1)

    def rank(
        self, part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
    ) -> pa.Table:
        return ranking_table(part, ranker, dataset, split, config, progress)

    def record(
        self,
        parts: Parts,
        dataset: Dataset,
        split: str,
        config: DictConfig,
        features: ReferenceFeatures,
        metrics: Sequence[Metric],
    ) -> tuple[dict[str, Any], pa.Table]:
        return list_record(parts, dataset, split, config, metrics)

    def tables(self, splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Sequence[RenderableType]:
        return [lists_table(splits, metrics)]

    def _decoder(self, config: DictConfig) -> ListDecoder:
        decoder = build_decoder(config.decoding, self.name)
        assert isinstance(decoder, ListDecoder)
        return decoder
