"""The rows that a baseline is fitted to before it ranks a split."""

from typing import Literal

from llmrec.datasets.dataset import Dataset, Rows

RowsSetting = Literal["full", "sample"]


def refits(dataset: Dataset, rows: RowsSetting) -> bool:
    """Whether test is ranked by another fit than validation: all rows are fitted, and train was cut for validation."""
    return dataset.valid_held_out and rows == "full"


def fitted_rows(dataset: Dataset, rows: RowsSetting, split: str) -> Rows:
    """The rows that a baseline is fitted to before it ranks `split` ("valid" or "test").

    All training rows, as in the papers, or the language models' sample. For test, validation's rows belong to them
    where they were held out of the train file.
    """
    if rows == "sample":
        return dataset.sample
    return dataset.train.followed_by(dataset.valid) if split == "test" and refits(dataset, rows) else dataset.train
