"""The base class of readers of interactions, which llmrec itself turns into histories and splits."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader
from llmrec.datasets.settings import SEQUENCE_KEYS

if TYPE_CHECKING:
    from llmrec.catalogue.items import Items
    from llmrec.datasets.interactions import Interactions
    from llmrec.datasets.prepared import Splits


class InteractionReader(Reader):
    """Reads interactions and items; k-core, windows and the split by time are the same for all such layouts."""

    shaping = SEQUENCE_KEYS

    @abstractmethod
    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads all items and all interactions of a folder that `matches`.

        `llmrec.datasets.readers.from_tables` makes both from two tables and checks every row.

        Raises:
            InputError: A file cannot be used. The message names the file and the row.
        """

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads a folder, takes the k-core, makes windows and splits them by time.

        Raises:
            InputError: For anything that `read` rejects, and for data that leaves a split without rows.
        """
        from llmrec.datasets.sequences import make_sequences

        return make_sequences(*self.read(folder), dataset, str(folder)).splits()
