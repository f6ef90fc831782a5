"""Which rows a baseline is fitted to before it ranks a split."""

from typing import Literal

from llmrec.datasets.dataset import Dataset, Rows

RowsSetting = Literal["full", "sample"]


def is_refitted(dataset: Dataset, rows: RowsSetting) -> bool:
    """Returns whether the baseline is refitted before it ranks test.

    That is so if it is fitted to all training rows and the validation rows were held out of the train file.
    """
    return dataset.valid_held_out and rows == "full"


def fitted_rows(dataset: Dataset, rows: RowsSetting, split: str) -> Rows:
    """Returns the rows that a baseline is fitted to before it ranks a split.

    Args:
        dataset: The dataset.
        rows: "full" for all training rows, as in the papers; "sample" for those that language models are tuned on.
        split: "valid" or "test". For "test", "full" includes the validation rows if they were held out of the train
            file.
    """
    if rows == "sample":
        return dataset.sample
    return dataset.train.followed_by(dataset.valid) if split == "test" and is_refitted(dataset, rows) else dataset.train
