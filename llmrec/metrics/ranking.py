"""What metrics are computed from: the rankings of a split's rows, with the data that they refer to."""

from dataclasses import dataclass, field

import numpy as np

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.lists import Lists
from llmrec.evaluation.features import ReferenceFeatures


@dataclass(frozen=True)
class CatalogueRanking:
    """Ranked titles of the catalogue, for rows of a split (task next_item).

    Attributes:
        titles: Distinct titles, best first, int32 [rows, K]; -1 = no more.
        scores: float32 [rows, K].
        target_title: The title that counts as a hit, int [rows]. It can differ from the target's own title, because a
            tokenizer can map several titles to the same tokens.
        rows: The rows that are ranked: all rows of the split, or a sample.
        dataset: The dataset.
        split: "valid" or "test".
        exclude_history: Whether titles of the history were excluded.
        features: Reference features of the titles.
        is_title: Whether the text that the model generates without constraints is a title, bool [rows]; None if no
            texts were generated.
    """

    titles: np.ndarray
    scores: np.ndarray
    target_title: np.ndarray
    rows: Rows
    dataset: Dataset
    split: str
    exclude_history: bool
    features: ReferenceFeatures = field(default_factory=ReferenceFeatures)
    is_title: np.ndarray | None = None

    @property
    def users(self) -> np.ndarray:
        """The user of each row as a number, int [rows]; `rows.user` has the IDs."""
        return self.rows.user_number


@dataclass(frozen=True)
class CandidateRanking(CatalogueRanking):
    """Ranked candidates, for rows of a split (task candidates). `titles` has all candidates of a row.

    Attributes:
        answer: The candidate that the text is which the model generates without constraints, int [rows]; -1 = none.
            None if no texts were generated.
    """

    answer: np.ndarray | None = None


@dataclass(frozen=True)
class ListRanking:
    """Ranked candidate lists of a split (task rerank).

    Attributes:
        orders: Rankings, int [orders, lists, m], as positions in the stored order, best first. orders[0] ranks the
            lists as stored; the others rank the same candidates shown in other orders.
        lists: The candidate lists.
        dataset: The dataset.
        split: "valid" or "test".
        unconstrained_order: The rankings in texts that the model generates without constraints, int [lists, m]; None if
            no texts were generated.
        is_invalid: Whether such a text is no ranking, bool [lists].
    """

    orders: np.ndarray
    lists: Lists
    dataset: Dataset
    split: str
    unconstrained_order: np.ndarray | None = None
    is_invalid: np.ndarray | None = None

    @property
    def users(self) -> np.ndarray:
        """The user of each list as a number, int [lists]; `lists.rows.user` has the IDs."""
        return self.lists.rows.user_number
