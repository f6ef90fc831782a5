"""Reader of the MovieLens dumps that GroupLens publishes."""

import re
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
"""Files of ratings and of films of each version of the dump. 10m is like "1m", but has half stars; 20m, 25m and 32m are
like "latest"."""
TAGS = "tags.dat"
"""File of 10m that 1m does not have."""
SIZE = re.compile(r"ml-(\d+m)")
"""Name of a folder as it is unpacked, such as ml-25m."""


class MovieLens(InteractionReader):
    """Reads ratings and films. Titles and genres (as categories) are verbatim; films without a rating are kept."""

    layouts = tuple(VERSIONS.values())
    optional = (TAGS,)

    def dataset_name(self, folder: Path) -> str:
        """Returns movielens_ with 100k, 1m, 10m or latest, or with the size in the folder's name."""
        (ratings,), _ = self.layout_files(folder)
        version, named = _version(ratings), SIZE.fullmatch(folder.name)
        return f"movielens_{named[1] if named and version == 'latest' else version}"

    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads ratings and films in file order."""
        from llmrec.datasets.readers.movielens_tables import read_movielens

        (ratings,), (films,) = self.layout_files(folder)
        return read_movielens(ratings, films, _version(ratings))


def _version(ratings: Path) -> str:
    version = next(version for version, files in VERSIONS.items() if ratings.name == files[0])
    return "10m" if version == "1m" and (ratings.parent / TAGS).is_file() else version
