"""Samples the negatives of candidate lists."""

from dataclasses import dataclass

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.errors import InputError


@dataclass(frozen=True)
class UserTitles:
    """Pairs of a user and a distinct title that the user interacted with.

    Attributes:
        user: User IDs, str [n].
        title: Distinct titles, int [n].
    """

    user: np.ndarray
    title: np.ndarray


def sample_negatives(
    user: np.ndarray, interacted: UserTitles, items: Items, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Samples items uniformly whose titles differ within a list and are new to the list's user.

    Args:
        user: The user of each list, str [lists].
        interacted: What is known at the end of the split's period. Later events must not influence a list.
        items: The catalogue.
        count: Negatives of each list.
        rng: The random generator.

    Returns:
        Item indices, int32 [lists, count].

    Raises:
        InputError: If the catalogue has fewer than `count` titles that are new to a user.
    """
    if not count:
        return np.zeros((len(user), 0), dtype=np.int32)
    list_users, user_of_list = np.unique(user, return_inverse=True)
    titles = len(items.distinct_titles)
    user_of_pair = np.searchsorted(list_users, interacted.user).clip(max=len(list_users) - 1)
    has_list = list_users[user_of_pair] == interacted.user
    forbidden = np.unique(user_of_pair[has_list].astype(np.int64) * titles + interacted.title[has_list])
    largest = int(np.bincount(forbidden // titles, minlength=1).max())
    if titles - largest < count:
        raise InputError(
            f"{count} sampled candidates per list are requested, but a user has interacted with {largest} of the "
            f"catalogue's {titles} titles. Lower task.candidates or task.negatives"
        )
    drawn = rng.integers(len(items), size=(len(user), count))
    pending = np.ones(len(user), dtype=bool)
    while pending.any():
        keys = user_of_list[pending, None] * titles + items.title_of[drawn[pending]].astype(np.int64)
        rejected = np.isin(keys, forbidden) | is_repeated(keys)
        redrawn = drawn[pending]
        redrawn[rejected] = rng.integers(len(items), size=int(rejected.sum()))
        drawn[pending], pending[pending] = redrawn, rejected.any(axis=1)
    return drawn.astype(np.int32)


def is_repeated(keys: np.ndarray) -> np.ndarray:
    """Returns whether each key occurs in an earlier column of its row, bool [n, m]."""
    order = np.argsort(keys, axis=1, kind="stable")
    ordered = np.take_along_axis(keys, order, axis=1)
    repeated = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated
