"""Reader of the Last.fm 1K users data."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmrec.datasets.readers.dump import DumpReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump

NAME = "userid-timestamp-artid-artname-traid-traname.tsv"
Item = Literal["track", "artist"]


class LastFM(DumpReader):
    """Reads userid-timestamp-artid-artname-traid-traname.tsv.

    Tracks and artists are told apart by their names, because many have no MusicBrainz id. Lines that are not six fields
    are dropped.

    Args:
        item: What counts as an item: a "track", titled "artist - track", or an "artist".
    """

    layouts = ((NAME,), (f"{NAME}.gz",))

    def __init__(self, item: Item = "track") -> None:
        self.item = item

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return f"{NAME}, also as .gz"

    def read_dump(self, folder: Path) -> "Dump":
        """Reads plays as events, and what was played as items."""
        from llmrec.datasets.readers.lastfm_table import dump_lastfm

        ((plays,),) = self.layout_files(folder)
        return dump_lastfm(plays, self.item)
