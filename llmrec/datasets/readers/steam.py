"""Reader of the Steam review data that McAuley Lab publishes (version 2)."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.dump import DumpReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump

REVIEWS, GAMES = ("steam_reviews.json.gz", "steam_reviews.json"), ("steam_games.json.gz", "steam_games.json")


class Steam(DumpReader):
    """Reads steam_reviews.json.gz and steam_games.json.gz, whose lines are Python literals.

    Reviews have a date without a time: those of a user on one day keep the order of the file. Users are told apart by
    their user name, because many reviews have no user_id. A game without a title has its app_name.
    """

    layouts = tuple(product(REVIEWS, GAMES))

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "steam_reviews.json.gz with steam_games.json.gz, also unpacked"

    def read_dump(self, folder: Path) -> "Dump":
        """Reads reviews as events, and games with their genres as items."""
        from llmrec.datasets.readers.review_tables import dump_steam

        (reviews,), (games,) = self.layout_files(folder)
        return dump_steam(reviews, games)
