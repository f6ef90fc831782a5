"""What an objective can use once, before training: the starting model, the training sample and a cache."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.catalogue.permutations import Permutations
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.objectives.batch import Batch
from llmrec.prompts.prompts import Prompts


class RowsWithPrompts(Protocol):
    """Rows and their prompts: row r has prompt r."""

    @property
    def rows(self) -> Rows:
        """The rows."""

    @property
    def prompts(self) -> Prompts:
        """Their prompts."""


class CatalogueSample(Protocol):
    """The training sample of task next_item or candidates, with the catalogue in the tokens of the backbone."""

    @property
    def dataset(self) -> Dataset:
        """The dataset. Objectives use its training split and items only."""

    @property
    def sample(self) -> RowsWithPrompts:
        """The rows that train the model, with their prompts."""

    @property
    def sample_titles(self) -> np.ndarray:
        """The distinct title of each row's target, int [rows]."""

    @property
    def titles(self) -> TitleTokens:
        """The tokens of the distinct titles."""

    @property
    def trie(self) -> Trie:
        """The trie of the titles, on the CPU."""

    @property
    def path(self) -> np.ndarray:
        """The trie node reached before each title token, int32 [title tokens]."""

    @property
    def supervised(self) -> np.ndarray:
        """Whether the objective supervises each title token, bool [title tokens]."""

    def history_free_prompt(self) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length].

        Raises:
            InputError: If the prompts of the training sample do not share one template.
        """

    def micro_batch_rows(self, rows: np.ndarray) -> int:
        """Returns the number of rows of a micro-batch for some training rows (int [rows])."""

    def batch(self, rows: np.ndarray) -> Batch:
        """Returns the micro-batch of some training rows (int [rows])."""


class ListSample(Protocol):
    """The training sample of task rerank: lists of m candidates, numbered by their position in the stored order."""

    @property
    def identifier_tokens(self) -> np.ndarray:
        """The token that names each position of a list, int64 [m]."""

    @property
    def target(self) -> np.ndarray:
        """The candidates of each list by relevance, the most relevant first, int64 [lists, m]."""

    @property
    def gains(self) -> np.ndarray:
        """The gain of each candidate, float [lists, m]."""


class Preparation(Protocol):
    """What an objective can use once, before training."""

    @property
    def backbone(self) -> Backbone:
        """The model that training starts from."""

    @property
    def trie(self) -> Trie | Permutations:
        """The trie of valid responses, on the model's device."""

    @property
    def catalogue(self) -> CatalogueSample:
        """The training sample of task next_item or candidates."""

    @property
    def lists(self) -> ListSample:
        """The training sample of task rerank."""

    @property
    def seed(self) -> int:
        """The seed of the run."""

    @property
    def cache_dir(self) -> Path:
        """The folder of llmrec's disk cache."""

    @property
    def stage(self) -> Path | None:
        """The folder of the run that training starts from, None if it starts from the backbone itself."""

    def open_base(self) -> Backbone:
        """Opens the backbone as it was before any tuning, on the same device. This is a second model in memory."""

    def open_oracle(self) -> object | None:
        """Opens the fitted baseline that the run uses as its oracle. Returns None if the run has no oracle."""

    def fit_oracle(self, dataset: Dataset) -> object:
        """Fits the baseline of the run's oracle anew, to other training rows.

        Args:
            dataset: The run's dataset with these rows.
        """

    @property
    def oracle_key(self) -> str | None:
        """The key of the run that fitted the oracle, None if the run has no oracle."""

    def embed_titles(self, model: str) -> np.ndarray:
        """Embeds the distinct titles.

        Args:
            model: "reference" for the dataset's reference model, or a sentence encoder, named as in
                dataset.reference.encoder. An objective must take this name from a setting called `embeddings`, because
                the key of the run is computed from that setting.

        Returns:
            float32 [distinct titles, size], of unit length.
        """


def target_lengths(preparation: Preparation) -> Tensor:
    """Returns the number of tokens of each row's target with its end token, int64 [rows], on the model's device."""
    data = preparation.catalogue
    return torch.from_numpy(data.titles.lengths[data.sample_titles]).to(preparation.backbone.device)


def encoded_batches(preparation: Preparation, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Batch, Encoded]]:
    """Runs training rows with their branches through the model, in evaluation mode and without gradients.

    Args:
        preparation: Gives the model and the training sample.
        rows: Rows of the training sample, int [n].

    Yields:
        The rows of a micro-batch, the micro-batch on the model's device, and the model's states; longest prompts first.
    """
    data, backbone = preparation.catalogue, preparation.backbone
    training = backbone.training
    backbone.eval()
    size = data.micro_batch_rows(rows)
    order = rows[np.argsort(-data.sample.prompts.lengths[rows], kind="stable")]
    with torch.no_grad():
        for batch_rows in (order[start : start + size] for start in range(0, len(order), size)):
            batch = data.batch(batch_rows).to(backbone.device)
            yield batch_rows, batch, backbone.encode(batch.packed, batch.state_index)
    backbone.train(training)
