"""The default reader, which recognizes the shipped layouts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader
from llmrec.datasets.readers.build import build_reader
from llmrec.datasets.readers.pickles import refuse_pickles
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits

SHIPPED = (
    "llmrec.datasets.readers.msl.MSL",
    "llmrec.datasets.readers.generic.Generic",
    "llmrec.datasets.readers.movielens.MovieLens",
    "llmrec.datasets.readers.recbole.RecBole",
    "llmrec.datasets.readers.amazon.Amazon2014",
    "llmrec.datasets.readers.amazon.Amazon2018",
    "llmrec.datasets.readers.amazon.Amazon2023",
    "llmrec.datasets.readers.minionerec.MiniOneRec",
    "llmrec.datasets.readers.lcrec.LCRec",
    "llmrec.datasets.readers.steam.Steam",
    "llmrec.datasets.readers.goodreads.Goodreads",
    "llmrec.datasets.readers.yelp.Yelp",
    "llmrec.datasets.readers.lastfm.LastFM",
    "llmrec.datasets.readers.sdpo.SDPO",
)
"""The readers that are tried, in this order, with their default settings."""


class Auto(Reader):
    """Reads a folder with the first shipped reader that it matches."""

    def layout_files(self, folder: Path) -> list[list[Path]]:
        """Returns the files of the folder's layout; see `Reader.layout_files`."""
        return next((reader.layout_files(folder) for reader in self._readers() if reader.matches(folder)), [])

    def files(self, folder: Path) -> list[Path]:
        """Returns all files of a folder that are read, sorted."""
        return self.select(folder).files(folder)

    def expected(self) -> str:
        """Describes the files of all layouts, for error messages."""
        return "; ".join(f"{reader.expected()} ({reader.name})" for reader in self._readers())

    def select(self, folder: Path) -> Reader:
        """Returns the first shipped reader that a folder matches.

        Raises:
            InputError: The folder is in no shipped layout, or its files are pickles.
        """
        for reader in self._readers():
            if reader.matches(folder):
                return reader
        refuse_pickles(folder)
        raise InputError(
            f"{folder.absolute()} is in no known layout. Expected one of: {self.expected()}; or a prepared set with "
            "its manifest.json. A reader of your own is chosen with dataset/reader=NAME"
        )

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Prepares a folder with the reader of its layout."""
        return self.select(folder).prepare(folder, dataset)

    def _readers(self) -> list[Reader]:
        return [build_reader({"_target_": target}) for target in SHIPPED]
