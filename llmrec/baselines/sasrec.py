"""The SASRec baseline (Kang and McAuley, ICDM 2018, arXiv 1808.09781), trained with a softmax over the full catalogue.

Differences from the paper (our choice):
    - Loss: the paper uses binary cross-entropy against one sampled negative per target. Here it is the cross-entropy of
      a softmax over all items, which needs no negative sampling and is closer to the metrics.
    - Positions: the loss is taken after the last item of a history only, because rows are sliding windows, in which
      most earlier items are targets of other rows.
    - Score: the cosine similarity of history and item embedding, divided by a temperature.

As in the paper, input and output item embeddings are shared.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from llmrec.baselines.base import Baseline, Fitting, rows_report
from llmrec.baselines.fitted_file import reading
from llmrec.baselines.sasrec_network import Network
from llmrec.baselines.sasrec_training import FitState, Training, seeded
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.fitted_rows import RowsSetting, fitted_rows, is_refitted
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import accuracy, title_ranks
from llmrec.settings.types import NonNegativeFloat, PositiveFloat, PositiveInt, ProbabilityBelowOne

SCORING_BATCH_ROWS = 256
"""Rows scored at a time, which bounds the memory for scores."""


class SASRec(Baseline):
    """Self-attentive sequential recommendation with a softmax over the full catalogue.

    A title's score is the best score of its items. Validation is ranked by the network `selected` and test by `final`,
    which differ if the validation rows were held out of the train file.

    Args:
        rows: "full" for all training rows, "sample" for those that language models are tuned on.
        max_history: Number of latest items of a history that are used.
        hidden_size: Hidden size of the network.
        layers: Number of layers.
        heads: Number of attention heads.
        dropout: Dropout probability.
        temperature: Divides the cosine similarity of history and item embedding, which gives the score.
        learning_rate: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        batch_size: Rows of a batch.
        max_epochs: Maximum number of epochs.
        patience: Number of epochs without a better validation NDCG@10 after which training stops.

    Attributes:
        seen_titles: Whether an item of each title occurs in the rows that `selected` was fitted to, bool
            [distinct titles].
    """

    seen_titles: np.ndarray

    def __init__(
        self,
        rows: RowsSetting = "full",
        max_history: PositiveInt = 10,
        hidden_size: PositiveInt = 64,
        layers: PositiveInt = 1,
        heads: PositiveInt = 2,
        dropout: ProbabilityBelowOne = 0.5,
        temperature: PositiveFloat = 0.07,
        learning_rate: PositiveFloat = 0.003,
        weight_decay: NonNegativeFloat = 0.0,
        batch_size: PositiveInt = 256,
        max_epochs: PositiveInt = 60,
        patience: PositiveInt = 5,
    ) -> None:
        self.rows, self.max_history = rows, max_history
        self.hidden_size, self.layers, self.heads = hidden_size, layers, heads
        self.dropout, self.temperature = dropout, temperature
        self.learning_rate, self.weight_decay, self.batch_size = learning_rate, weight_decay, batch_size
        self.max_epochs, self.patience = max_epochs, patience
        self._settings = dict(vars(self))

    @staticmethod
    def validate(settings: Mapping[str, Any]) -> None:
        """Checks that the heads divide the hidden size."""
        size, heads = settings["hidden_size"], settings["heads"]
        if size % heads:
            raise ValueError(f"heads={heads}: give a divisor of baseline.hidden_size={size}")

    def fit(self, dataset: Dataset, fitting: Fitting) -> dict[str, Any]:
        """Selects the number of epochs on validation, then refits if the validation rows were held out of train.

        The refit includes the validation rows. An interrupted fit resumes from `fitting.checkpoint` and gives the same
        result as an uninterrupted one.

        Raises:
            InputError: If there are no training rows or no validation rows.
        """
        train = fitted_rows(dataset, self.rows, "valid")
        self._titles = _Titles(dataset.items, fitting.device)
        self.seen_titles = _seen_titles(train, dataset.items)
        progress = FitState.load(fitting.checkpoint, [self._settings, fitting.seed, dataset.content_hash, len(train)])
        self._select(train, dataset.valid, fitting, progress)
        self.final = self._refit(dataset, fitting, progress) if is_refitted(dataset, self.rows) else self.selected
        return {
            **rows_report(dataset, self.rows),
            "epochs": len(progress.curve),
            "chosen_epoch": progress.chosen_epoch,
            "valid_ndcg@10": max(progress.curve),
            "valid_ndcg@10_by_epoch": progress.curve,
            "parameters": sum(weight.numel() for weight in self.selected.parameters()),
            "seconds": progress.update_seconds(),
        }

    def save(self, folder: Path) -> None:
        """Writes selected.safetensors, which includes the seen titles, and, after a refit, final.safetensors."""
        seen = torch.from_numpy(self.seen_titles)
        save_file(self.selected.state_dict() | {"seen_titles": seen}, folder / "selected.safetensors")
        if self.final is not self.selected:
            save_file(self.final.state_dict(), folder / "final.safetensors")

    def load(self, folder: Path, dataset: Dataset) -> None:
        """Reads what `save` wrote, to the CPU.

        Raises:
            InputError: If a file is missing or damaged, or belongs to another catalogue or other settings.
        """
        self._titles = _Titles(dataset.items, "cpu")
        self.selected = self._network("cpu")
        shape = {"seen_titles": torch.zeros(len(dataset.items.distinct_titles), dtype=torch.bool)}
        weights = _read_weights(folder / "selected.safetensors", self.selected.state_dict() | shape)
        self.seen_titles = weights.pop("seen_titles").numpy()
        self.selected.load_state_dict(weights)
        self.final = self.selected
        if is_refitted(dataset, self.rows):
            self.final = self._network("cpu")
            self.final.load_state_dict(_read_weights(folder / "final.safetensors", weights))

    def rank(
        self, rows: Rows, split: str, k: int, exclude_history: bool, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        titles = np.full((len(rows), k), -1, dtype=np.int32)
        best_scores = np.full((len(rows), k), -np.inf, dtype=np.float32)
        done = 0
        for batch, scores in self._scored(rows, split):
            if exclude_history:
                scores[batch.history_row, self._titles.title_of[batch.history]] = -torch.inf
            top, title = scores.topk(min(k, scores.shape[1]))
            block = np.s_[done : done + len(batch), : top.shape[1]]
            best_scores[block] = top.cpu().numpy()
            titles[block] = title.masked_fill(top == -torch.inf, -1).cpu().numpy()
            done += len(batch)
            progress(len(batch))
        return titles, best_scores

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        for _, scores in self._scored(rows, split):
            yield scores.cpu().numpy()

    def _scored(self, rows: Rows, split: str) -> Iterator[tuple[Rows, Tensor]]:
        """Yields batches of rows with their scores of all titles, float32 [batch, distinct titles]."""
        network = self.final if split == "test" else self.selected
        for start in range(0, len(rows), SCORING_BATCH_ROWS):
            batch = rows.take(np.arange(start, min(start + SCORING_BATCH_ROWS, len(rows))))
            histories = _pad_histories(batch, self.max_history, network.padding).to(self._titles.title_of.device)
            with torch.no_grad():
                yield batch, self._titles.best(network.scores(network(histories)))

    def _network(self, device: str, seed: int = 0) -> Network:
        sizes = (self.max_history, self.hidden_size, self.layers, self.heads, self.dropout, self.temperature)
        with seeded(seed, 0, device):
            return Network(len(self._titles.title_of), *sizes).to(device).eval()

    def _select(self, train: Rows, valid: Rows, fitting: Fitting, progress: FitState) -> None:
        training = self._training("selected", train, fitting, progress)
        self.selected = training.network
        with tqdm(desc="sasrec", unit="epoch", initial=len(progress.curve), disable=not fitting.progress) as bar:
            while not progress.is_finished(self.max_epochs, self.patience):
                loss = training.epoch()
                progress.curve.append(self._ndcg10(valid))
                if progress.chosen_epoch == len(progress.curve):
                    progress.selected = {name: weight.clone() for name, weight in self.selected.state_dict().items()}
                # Logged before the checkpoint is written: after an interruption, an epoch that is trained again is
                # logged again, and none is missing from the log.
                fitting.log({"train/loss": loss, "valid/ndcg@10": progress.curve[-1]}, len(progress.curve))
                progress.write(fitting.checkpoint, "selected", training)
                bar.update()
        self.selected.load_state_dict(progress.selected)

    def _refit(self, dataset: Dataset, fitting: Fitting, progress: FitState) -> Network:
        training = self._training("final", fitted_rows(dataset, self.rows, "test"), fitting, progress)
        remaining = range(training.epochs, progress.chosen_epoch)
        for epoch in tqdm(remaining, desc="sasrec, refit", unit="epoch", disable=not fitting.progress):
            loss = training.epoch()
            fitting.log({"refit/loss": loss}, len(progress.curve) + epoch + 1)
            progress.write(fitting.checkpoint, "final", training)
        return training.network

    def _training(self, phase: str, rows: Rows, fitting: Fitting, progress: FitState) -> Training:
        network = self._network(fitting.device, fitting.seed)
        sequences = _sequences(rows, self.max_history, network.padding)
        if not len(sequences):
            raise InputError(
                "there are no training rows to fit baseline=sasrec to. Use a dataset that has training rows"
            )
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        training = Training(network, optimizer, sequences.to(fitting.device), self.batch_size, fitting.seed)
        if progress.phase == phase:
            training.load(progress.training)
        return training

    def _ndcg10(self, valid: Rows) -> float:
        titles, _ = self.rank(valid, "valid", k=10, exclude_history=False)
        target_title = self._titles.title_of.cpu().numpy()[valid.target]
        return accuracy(title_ranks(titles, target_title), valid.user, list_length=10)["ndcg@10"]


class _Titles:
    """Turns scores of items into scores of titles, which several items may share."""

    def __init__(self, items: Items, device: str) -> None:
        first_items = np.unique(items.title_of, return_index=True)[1]
        self.title_of = torch.from_numpy(items.title_of).long().to(device)
        self.first_items = torch.from_numpy(first_items).to(device)
        self.other_items = torch.from_numpy(np.setdiff1d(np.arange(len(items)), first_items)).to(device)

    def best(self, scores: Tensor) -> Tensor:
        """Returns the best score of each title's items: [rows, items] to [rows, distinct titles]."""
        title = self.title_of[self.other_items].expand(len(scores), -1)
        return scores[:, self.first_items].scatter_reduce_(1, title, scores[:, self.other_items], "amax")


def _pad_histories(rows: Rows, length: int, padding: int) -> Tensor:
    """Returns the latest `length` items of each history, left-padded, int64 [rows, length]."""
    row = rows.history_row
    column = length + np.arange(len(rows.history)) - rows.offsets[1:][row]
    padded = np.full((len(rows), length), padding, dtype=np.int64)
    padded[row[column >= 0], column[column >= 0]] = rows.history[column >= 0]
    return torch.from_numpy(padded)


def _sequences(rows: Rows, length: int, padding: int) -> Tensor:
    """Returns left-padded histories followed by their targets, int64 [rows, length + 1]."""
    return torch.cat([_pad_histories(rows, length, padding), torch.from_numpy(rows.target).long()[:, None]], dim=1)


def _seen_titles(rows: Rows, items: Items) -> np.ndarray:
    seen = np.zeros(len(items.distinct_titles), dtype=bool)
    seen[items.title_of[rows.history]] = True
    seen[items.title_of[rows.target]] = True
    return seen


def _read_weights(path: Path, template: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reads the tensors of a file. Raises InputError if it is unreadable or its shapes are not those of `template`."""
    with reading(path):
        weights = load_file(path)
    shapes, expected = ({name: tuple(weight.shape) for name, weight in each.items()} for each in (weights, template))
    if shapes != expected:
        differing = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
        raise InputError(
            f"{path} belongs to another catalogue or other settings: the shapes of {', '.join(differing)} differ. Use "
            "the dataset and the baseline settings that it was fitted with, or fit it again"
        )
    return weights
