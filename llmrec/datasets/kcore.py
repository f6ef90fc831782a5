"""The k-core of interactions: every user and every item left has at least k of them."""

import numpy as np


def k_core(user: np.ndarray, item: np.ndarray, k: int) -> np.ndarray:
    """int64: positions of the interactions in the k-core, in order.

    user, item: int arrays [n]. An interaction counts each time it occurs, also when a user repeats an item. Filtering
    is repeated until nothing changes, so the result does not depend on whether users or items go first.
    """
    kept = np.arange(len(user))
    while len(kept):
        users, items = user[kept], item[kept]
        stays = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if stays.all():
            break
        kept = kept[stays]
    return kept
