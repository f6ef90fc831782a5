"""The k-core of interactions: each remaining user and each remaining item has at least k of them."""

import numpy as np


def k_core(user: np.ndarray, item: np.ndarray, k: int) -> np.ndarray:
    """Finds the interactions in the k-core.

    Repeated interactions of a user with an item all count. Filtering is repeated until nothing changes, so the result
    does not depend on whether users or items are filtered first.

    Args:
        user: User of each interaction, int [n].
        item: Item of each interaction, int [n].
        k: Minimum number of interactions of each user and item.

    Returns:
        Positions of the interactions in the k-core in ascending order, int64.
    """
    core = np.arange(len(user))
    while len(core):
        users, items = user[core], item[core]
        is_frequent = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if is_frequent.all():
            break
        core = core[is_frequent]
    return core
