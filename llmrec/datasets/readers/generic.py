"""Reader of the generic layout: one file of interactions and one of items, CSV or Parquet."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.interaction_reader import InteractionReader

if TYPE_CHECKING:
    from llmrec.catalogue.items import Items
    from llmrec.datasets.interactions import Interactions

FORMATS = ("csv", "parquet")
"""Of a CSV and a Parquet file, the CSV file is read."""


class Generic(InteractionReader):
    """Reads interactions and items with the columns that `from_tables` names."""

    layouts = tuple((f"interactions.{one}", f"items.{other}") for one, other in product(FORMATS, FORMATS))

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "interactions.csv|parquet with items.csv|parquet"

    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads both files in file order."""
        from llmrec.datasets.readers.from_tables import from_tables
        from llmrec.datasets.tables import read_table

        (interactions,), (items,) = self.layout_files(folder)
        return from_tables(read_table(interactions), read_table(items))
