"""Reader of the layout in which LC-Rec publishes its datasets, and MiniOneRec what it makes of a dump."""

from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.untimed import UntimedReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump


class LCRec(UntimedReader):
    """Reads <name>.inter.json (user -> items in order of time) and <name>.item.json (item -> title and more).

    The semantic IDs in <name>.index.json are used with items=tokens and items.file.
    """

    layouts = (("*.inter.json", "*.item.json"),)

    def has_times(self, folder: Path) -> bool:
        """Returns False: the files give the order of a user's items only."""
        return False

    def read_dump(self, folder: Path) -> "Dump":
        """Reads the users' items as events, and items with their categories."""
        from llmrec.datasets.readers.lcrec_tables import dump_lcrec

        interactions, items = self.single_files(folder, "Put each set into a folder of its own")
        return dump_lcrec(interactions, items)
