"""Reader of the MovieLens dumps that GroupLens publishes."""

from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.interaction_reader import InteractionReader

if TYPE_CHECKING:
    from llmrec.catalogue.items import Items
    from llmrec.datasets.interactions import Interactions

VERSIONS = {
    "100k": ("u.data", "u.item"),
    "1m": ("ratings.dat", "movies.dat"),
    "latest": ("ratings.csv", "movies.csv"),
}
"""Files of ratings and of films of each version of the dump; 20m, 25m and 32m are like "latest"."""


class MovieLens(InteractionReader):
    """Reads ratings and films. Titles and genres (as categories) are verbatim; films without a rating are kept."""

    layouts = tuple(VERSIONS.values())

    def dataset_name(self, folder: Path) -> str:
        """Returns movielens_100k, movielens_1m or movielens_latest."""
        (ratings,), _ = self.layout_files(folder)
        return f"movielens_{_version(ratings)}"

    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads ratings and films in file order."""
        from llmrec.datasets.readers.movielens_tables import read_movielens

        (ratings,), (films,) = self.layout_files(folder)
        return read_movielens(ratings, films, _version(ratings))


def _version(ratings: Path) -> str:
    return next(version for version, files in VERSIONS.items() if ratings.name == files[0])
