"""Reader of the generic layout: a table of interactions and one of items, with any column names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.interaction_reader import InteractionReader
from llmrec.settings.types import Text

if TYPE_CHECKING:
    from llmrec.catalogue.items import Items
    from llmrec.datasets.databases import Selection
    from llmrec.datasets.interactions import Interactions
    from llmrec.datasets.tables import Table

FORMATS = ("csv", "parquet", "tsv", "jsonl", "csv.gz", "tsv.gz", "jsonl.gz", "csv.zst", "tsv.zst", "jsonl.zst")
"""Of several files of the same name, the first of these is read."""
PARTS = "*.parquet"


@dataclass
class Columns:
    """The names of the columns in the user's files.

    Attributes:
        user: Column of the user's id in the interactions.
        item: Column of the item's id in the interactions.
        time: Column of the time in the interactions.
        rating: Column of the rating in the interactions, above 0 and at most 10. It may be missing; null = not read.
        id: Column of the item's id in the items; null = as `item`.
        title: Column of the title in the items.
        categories: Column of the categories in the items: a list of text, or text separated by |. It may be missing;
            null = not read.
    """

    user: Text = "user"
    item: Text = "item"
    time: Text = "timestamp"
    rating: Text | None = "rating"
    id: Text | None = None
    title: Text = "title"
    categories: Text | None = "categories"


class Generic(InteractionReader):
    """Reads interactions and items: CSV, JSON lines or Parquet, each a file or, for Parquet, a folder of parts."""

    def __init__(
        self, interactions: Text | None = None, items: Text | None = None, columns: Columns | None = None
    ) -> None:
        """Takes the names of files and columns.

        Args:
            interactions: The file of interactions, or the folder of its Parquet parts, in the dataset's folder; null =
                interactions.csv, .parquet, .tsv or .jsonl, or the folder interactions.
            items: The same for items.
            columns: The names of columns.
        """
        self.columns = Columns(**columns) if isinstance(columns, Mapping) else columns or Columns()
        names = _patterns(interactions, "interactions"), _patterns(items, "items")
        self.layouts = tuple(product(*names))
        self._expected = " with ".join(
            given or f"{stem}.csv|tsv|jsonl|parquet (or a folder {stem} of Parquet files)"
            for given, stem in ((interactions, "interactions"), (items, "items"))
        )

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return self._expected

    def selections(self) -> "dict[str, Selection]":
        """Returns what is read of a database, in which `interactions` and `items` are tables or queries."""
        from llmrec.datasets.databases import Selection

        columns, named = self.columns, self.settings
        interactions = Selection(
            named["interactions"] or "interactions",
            {key: getattr(columns, key) for key in ("user", "time", "item")},
            columns.rating,
        )
        items = Selection(
            named["items"] or "items", {"id": columns.id or columns.item, "title": columns.title}, columns.categories
        )
        return {"interactions": interactions, "items": items}

    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads both tables in file order."""
        from llmrec.datasets.readers.from_tables import from_tables
        from llmrec.datasets.table_files import scan_parts

        interactions, items = map(scan_parts, self.layout_files(folder))
        columns = self.columns
        of_events = {"user": columns.user, "item": columns.item, "timestamp": columns.time, "rating": columns.rating}
        of_items = {"item": columns.id or columns.item, "title": columns.title, "categories": columns.categories}
        return from_tables(_renamed(interactions, of_events), _renamed(items, of_items))


def _patterns(given: str | None, stem: str) -> tuple[str, ...]:
    if given is not None:
        return (given, f"{given}/{PARTS}")
    return (*(f"{stem}.{name}" for name in FORMATS), f"{stem}/{PARTS}", f"{stem}.parquet/{PARTS}")


def _renamed(table: "Table", labels: Mapping[str, Any]) -> "Table":
    """Returns a table under our names; a column that the user has named must be there."""
    renamed = table.renamed(labels)
    defaults = asdict(Columns()).values()
    renamed.require_columns([name for name, label in labels.items() if label and label not in defaults])
    return renamed
