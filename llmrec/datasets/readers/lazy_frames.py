"""Lazy frames over data that Python code reads part by part."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl
from polars.io.plugins import register_io_source

Type = pl.DataType | type[pl.DataType]
Schema = Mapping[str, Type]
ROWS = 1 << 17
"""Rows that are in memory at a time where Python reads them."""


def lazy_frame(read: Callable[[Sequence[str]], Iterator[pl.DataFrame]], schema: Schema) -> pl.LazyFrame:
    """Returns a lazy frame of the frames that `read` yields, given the names of columns."""

    def filtered(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for frame in read(columns or list(schema)):
            found = frame if predicate is None else frame.filter(predicate)
            found = found if rows is None else found.head(rows)
            yield found
            if rows is not None:
                rows -= len(found)
                if not rows:
                    return

    return register_io_source(filtered, schema=dict(schema))
