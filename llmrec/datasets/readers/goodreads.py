"""Reader of the Goodreads data of UCSD Book Graph."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmrec.datasets.readers.untimed import UntimedReader
from llmrec.settings.types import Text

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump

ENDS = (".json.gz", ".json")
MAP = "book_id_map.csv"
When = Literal["date_added", "date_updated", "read_at", "started_at"]
Events = Literal["read", "rated", "all"]


class Goodreads(UntimedReader):
    """Reads goodreads_interactions_<genre>.json.gz, or goodreads_interactions.csv, and goodreads_books_<genre>.json.gz.

    The CSV file has no times: its order stands in for them. It needs book_id_map.csv.

    Args:
        genre: The genre in the files' names, such as children, or dedup for all; None if the folder has one of each.
        events: Which events count: "read" (is_read), "rated" (1 to 5 stars; only then ratings are read) or "all" (also
            books that are only on a shelf).
        time: The date of an event; an event without it is dropped. A JSON file only.
    """

    def __init__(self, genre: Text | None = None, events: Events = "read", time: When = "date_added") -> None:
        self.events, self.time = events, time
        of_books = "" if genre == "dedup" else f"_{genre}" if genre else "*"
        books = [f"goodreads_books{of_books}{end}" for end in ENDS]
        json = [f"goodreads_interactions{f'_{genre}' if genre else '*'}{end}" for end in ENDS]
        self.layouts = (*product(json, books), *product(["goodreads_interactions.csv"], [MAP], books))

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        books = "goodreads_books*.json.gz"
        return f"goodreads_interactions*.json.gz with {books}, or goodreads_interactions.csv with {MAP} and {books}"

    def has_times(self, folder: Path) -> bool:
        """Returns whether the events are in a JSON file."""
        (interactions, *_), *_ = self.layout_files(folder)
        return ".json" in interactions.suffixes

    def read_dump(self, folder: Path) -> "Dump":
        """Reads interactions as events, and books as items."""
        from llmrec.datasets.readers.goodreads_tables import dump_csv, dump_json

        interactions, *ids, books = self.single_files(folder, "Choose a genre: dataset.reader.genre=NAME")
        if ids:
            return dump_csv(interactions, ids[0], books, self.events)
        return dump_json(interactions, books, self.time, self.events)
