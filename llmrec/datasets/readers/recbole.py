"""Reader of RecBole's atomic files."""

from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.dump import DumpReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump


class RecBole(DumpReader):
    """Reads <name>.inter and <name>.item: tab-separated, with a type behind each name of the header.

    Args:
        title: The column of titles in the .item file; None for the first of title, movie_title, item_name, name.
        categories: The column of categories, separated by blanks; None for the first of categories, class, genre.
    """

    layouts = (("*.inter", "*.item"),)

    def __init__(self, title: str | None = None, categories: str | None = None) -> None:
        self.title, self.categories = title, categories

    def read_dump(self, folder: Path) -> "Dump":
        """Reads both files."""
        from llmrec.datasets.readers.recbole_tables import read_recbole

        (interactions, *_), (items, *_) = self.layout_files(folder)
        return read_recbole(interactions, items, self.title, self.categories)
