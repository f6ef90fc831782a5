"""The rows that a diagnosis is made of."""

from typing import Any

from llmrec.datasets.dataset import Dataset, Rows, draw
from llmrec.errors import InputError


def sampled_rows(dataset: Dataset, sample: dict[str, Any]) -> Rows:
    """Draws the rows of a diagnosis.

    Args:
        dataset: The dataset.
        sample: `users` (number of rows), `seed` and `split`.

    Raises:
        InputError: The split has no rows.
    """
    rows: Rows = getattr(dataset, sample["split"])
    if len(rows) == 0:
        raise InputError(
            f"the {sample['split']} split of {dataset.name} has no rows to diagnose. Choose the other split."
        )
    return rows.take(draw(len(rows), sample["users"], sample["seed"]))
