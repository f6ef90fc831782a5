"""Warns of figures that were measured on few users."""

from typing import Any

import numpy as np

MIN_USERS = 100
"""With fewer users, standard errors clustered by user are too small on average, and bootstrap intervals too narrow."""


def few_users_warning(users: int) -> str | None:
    """Returns a warning for figures of fewer than MIN_USERS users; None for more."""
    if users >= MIN_USERS:
        return None
    return f"{users:,} users, fewer than {MIN_USERS}: standard errors and intervals are rough"


def user_counts(users: np.ndarray) -> dict[str, Any]:
    """Returns the entries of a record about its users: their number and, if they are few, a warning.

    Args:
        users: The user of each row, numbered as in `Rows.user_number`, int [rows].
    """
    count = int(np.count_nonzero(np.bincount(users)))
    warning = few_users_warning(count)
    return {"users": count} if warning is None else {"users": count, "warning": warning}
