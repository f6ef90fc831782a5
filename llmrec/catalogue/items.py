"""The items of a dataset and their titles."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llmrec.catalogue.item_tokens import ItemTokens


@dataclass(frozen=True)
class Items:
    """A catalogue of items, which are referred to by their index into these lists.

    Attributes:
        ids: The dataset's identifier of each item.
        titles: Each item's title, verbatim. Several items may have the same title.
        categories: Each item's categories, or None if the dataset has none.
        tokens: The tokens that represent the titles in prompts and responses; None if titles represent themselves.
        distinct_titles: The titles without repetition, in order of first occurrence.
        title_of: Index of each item's title in `distinct_titles`, int32 `[items]`.
    """

    ids: list[str]
    titles: list[str]
    categories: list[list[str]] | None = None
    tokens: "ItemTokens | None" = None
    distinct_titles: list[str] = field(init=False)
    title_of: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        index: dict[str, int] = {}
        title_of = np.array([index.setdefault(title, len(index)) for title in self.titles], dtype=np.int32)
        object.__setattr__(self, "distinct_titles", list(index))
        object.__setattr__(self, "title_of", title_of)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def texts(self) -> list[str]:
        """The text that represents each distinct title in prompts and responses: the title itself, or its tokens."""
        return self.distinct_titles if self.tokens is None else ["".join(tokens) for tokens in self.tokens.sequences]

    @cached_property
    def first_item(self) -> dict[str, int]:
        """The first item of each distinct title."""
        return {title: item for item, title in reversed(list(enumerate(self.titles)))}

    def shown(self, text: str) -> str:
        """Returns one of `texts` in the form used in prompts and responses: a title in double quotes, tokens as is."""
        return quote(text) if self.tokens is None else text


def quote(title: str) -> str:
    """Returns a title in the form used in prompts and responses: verbatim, in double quotes."""
    return f'"{title}"'
