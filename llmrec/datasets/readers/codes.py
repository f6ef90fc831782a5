"""Numbers the distinct values of a column while it is read, so that its texts are never in memory together."""

import numpy as np
import polars as pl


def codes(text: pl.Expr) -> pl.Expr:
    """Encodes texts; the codes themselves may differ from run to run."""
    return text.cast(pl.Categorical(pl.Categories.random()))


def decoded(values: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Returns the distinct values of encoded texts in the order in which they appear, and their indices.

    Args:
        values: A column that was read with `codes`, without nulls.

    Returns:
        The values, strings [distinct], and the index of the value of each row, int32 [rows].
    """
    distinct = values.unique(maintain_order=True)
    code = distinct.to_physical().to_numpy()
    index = np.zeros(int(code.max(initial=0)) + 1, dtype=np.int32)
    index[code] = np.arange(len(code), dtype=np.int32)
    return distinct.cast(pl.String), index[values.to_physical().to_numpy()]
