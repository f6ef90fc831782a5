"""Task candidates: chooses the next item among one target and sampled items, by its title."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig
from pydantic import Field
from rich.console import RenderableType

from llmrec.backbones.backbone import Backbone
from llmrec.baselines.base import Baseline
from llmrec.datasets.candidates import with_candidates
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import Loaded
from llmrec.decoding.decoder import CandidateDecoder, build_decoder
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.examples.candidates import CandidatesData
from llmrec.examples.training_data import TrainingData
from llmrec.metrics.base import Metric
from llmrec.metrics.shipped import CANDIDATES
from llmrec.plain import plain
from llmrec.prompts.candidates_pretraining import CandidatesTexts
from llmrec.prompts.candidates_text import CandidatesText
from llmrec.settings.types import Seed
from llmrec.tasks.base import NAMES_NO_CANDIDATES, Parts, Progress, Validated
from llmrec.tasks.candidates_ranker import BaselineCandidateRanker, ModelCandidateRanker
from llmrec.tasks.candidates_rankings import answers_table
from llmrec.tasks.candidates_record import candidates_record
from llmrec.tasks.candidates_tables import candidates_table
from llmrec.tasks.candidates_validation import VALUES, validate_candidates
from llmrec.tasks.catalogue_rankings import UNCONSTRAINED, ranking_table
from llmrec.tasks.next_item import NextItem


class Candidates(NextItem):
    """Ranks a row's candidates, which are made once and are the same for all models.

    Args:
        candidates: Candidates of a row (m): the target and m - 1 sampled titles.
        seed: Seed of the sampled titles and of the order in which candidates are shown.
    """

    metrics = CANDIDATES
    headline = "by_title.hr@1"
    headline_label = "HR@1, candidates"
    text = CandidatesText
    refused: ClassVar[Mapping[str, str]] = {
        "recommend": NAMES_NO_CANDIDATES,
        "diagnose": "it removes the history from prompts that show nothing else. Give a run of task=next_item",
    }

    def __init__(self, candidates: Annotated[int, Field(ge=2)], seed: Seed) -> None:
        self.candidates, self.seed = candidates, seed

    def prepare(self, loaded: Loaded, dataset: DictConfig, cache_dir: Path) -> Dataset:
        return with_candidates(loaded, plain(dataset), cache_dir, self.candidates, self.seed)

    def check(self, config: DictConfig) -> None:
        self._candidate_decoder(config)
        if config.baseline.name == "none":
            self.text.require_text(plain(config.prompt))

    def pretraining(self, config: DictConfig, dataset: Dataset) -> CandidatesTexts:
        return CandidatesTexts(self.prompt(config, dataset.items), dataset)

    def data(self, dataset: Dataset, backbone: Backbone, config: DictConfig, cache_dir: Path) -> CandidatesData:
        return CandidatesData(dataset, backbone, config, cache_dir)

    @property
    def validation_names(self) -> Sequence[str]:
        return VALUES

    def validate(self, backbone: Backbone, data: TrainingData, rows: np.ndarray, config: DictConfig) -> Validated:
        assert isinstance(data, CandidatesData)
        return validate_candidates(backbone, data, rows)

    def model_ranker(
        self, backbone: Backbone, dataset: Dataset, config: DictConfig, cache_dir: Path
    ) -> ModelCandidateRanker:
        data = self.data(dataset, backbone, config, cache_dir)
        return ModelCandidateRanker(backbone, data, self._candidate_decoder(config))

    def baseline_ranker(
        self, name: str, baseline: Baseline, dataset: Dataset, config: DictConfig
    ) -> BaselineCandidateRanker:
        return BaselineCandidateRanker(name, baseline, dataset, self._candidate_decoder(config))

    def rank(
        self, part: str, ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
    ) -> pa.Table:
        if part == UNCONSTRAINED:
            return answers_table(ranker, dataset, split, config, folder, progress)
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
        return candidates_record(parts, dataset, split, config, metrics)

    def tables(self, splits: Mapping[str, dict[str, Any]], metrics: Sequence[Metric]) -> Sequence[RenderableType]:
        return [candidates_table(splits, metrics)]

    def _candidate_decoder(self, config: DictConfig) -> CandidateDecoder:
        decoder = build_decoder(config.decoding, self.name)
        assert isinstance(decoder, CandidateDecoder)
        return decoder
