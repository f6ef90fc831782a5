"""The items of a dataset and the titles they share."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Items:
    """A catalogue: item i has `ids[i]` and `titles[i]`; items are addressed by their index everywhere.

    Titles are verbatim and may repeat. `categories[i]`, where the set has them, lists the item's categories.
    """

    ids: list[str]
    titles: list[str]
    categories: list[list[str]] | None = None
    distinct_titles: list[str] = field(init=False)
    title_of: np.ndarray = field(init=False)
    """int32 [items]: index of the item's title in `distinct_titles` (first occurrence first)."""

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        title_of = np.array([index.setdefault(title, len(index)) for title in self.titles], dtype=np.int32)
        object.__setattr__(self, "distinct_titles", list(index))
        object.__setattr__(self, "title_of", title_of)

    def __len__(self) -> int:
        return len(self.ids)
