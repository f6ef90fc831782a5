"""A catalogue with a duplicate title and rows small enough to work out by hand."""

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows

ITEMS = Items(ids=list("abcdef"), titles=["Anno", "Braid", "Civ", "Anno", "Doom", "Elite"])
"""Six items; a and d are both called Anno, so the distinct titles are Anno, Braid, Civ, Doom, Elite."""

RELEVANCE = np.array([-5.0, -1.0, -4.0, -1.0, -3.0])
"""In descending order: Braid and Doom (equal), Elite, Civ, Anno."""

EMBEDDINGS = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0], [-1, 0, 0], [0, 0, 1]], dtype=np.float32)
"""Anno and Braid are orthogonal, and both similar to Civ; Doom is opposite to Anno; Elite is orthogonal to all."""


def rows_of(*pairs: tuple[list[int], int]) -> Rows:
    """Rows from pairs of (history, target), item indices; row r is of user "u<r>" at time r."""
    histories = [history for history, _ in pairs]
    return Rows(
        user=np.array([f"u{row}" for row in range(len(pairs))], dtype=str),
        history=np.array([item for history in histories for item in history], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, histories)], dtype=np.int64),
        target=np.array([target for _, target in pairs], dtype=np.int32),
        timestamp=np.arange(len(pairs), dtype=np.int64),
    )


TRAIN = rows_of(([1], 2), ([4], 2), ([1, 2], 0), ([2], 3), ([0], 1))
"""Targets: Civ twice, Anno once as item a and once as item d, Braid once; Elite occurs nowhere.

Users who have them as target or history: Civ 4, Anno 3, Braid 3, Doom 1, Elite 0.
"""

TEST = rows_of(([1, 2], 3), ([2, 4], 2), ([0] * 12, 5), ([4], 1))
"""Targets: d (Anno), c (Civ, which stands in the history), f (Elite), b (Braid)."""

DATASET = Dataset(
    name="tiny-sim",
    simulated=True,
    items=ITEMS,
    train=TRAIN,
    sample=TRAIN,
    valid=rows_of(),
    test=TEST,
    content_hash="0",
    report={},
    best_ndcg10={"valid": 0.4, "test": 0.5},
)
