"""The items of a dataset and their titles."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Items:
    """A catalogue of items, which are referred to by their index into these lists.

    Attributes:
        ids: The dataset's identifier of each item.
        titles: Each item's title, verbatim. Several items may have the same title.
        categories: Each item's categories, or None if the dataset has none.
        distinct_titles: The titles without repetition, in order of first occurrence.
        title_of: Index of each item's title in `distinct_titles`, int32 `[items]`.
    """

    ids: list[str]
    titles: list[str]
    categories: list[list[str]] | None = None
    distinct_titles: list[str] = field(init=False)
    title_of: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        title_of = np.array([index.setdefault(title, len(index)) for title in self.titles], dtype=np.int32)
        object.__setattr__(self, "distinct_titles", list(index))
        object.__setattr__(self, "title_of", title_of)

    def __len__(self) -> int:
        return len(self.ids)
