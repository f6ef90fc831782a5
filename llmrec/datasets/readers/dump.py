"""The base class of readers of public dumps, which have rows that no dataset can use."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.interaction_reader import InteractionReader

if TYPE_CHECKING:
    from llmrec.catalogue.items import Items
    from llmrec.datasets.interactions import Interactions
    from llmrec.datasets.prepared import Splits
    from llmrec.datasets.readers.cleaning import Dump


class DumpReader(InteractionReader):
    """Reads a dump and drops what cannot be used. The report counts what was dropped, and why."""

    @abstractmethod
    def read_dump(self, folder: Path) -> "Dump":
        """Reads all items and events of a folder that `matches`, as they are.

        Raises:
            InputError: A file cannot be used. The message names the file.
        """

    def read(self, folder: Path) -> "tuple[Items, Interactions]":
        """Reads the items and events that can be used; see `clean`."""
        from llmrec.datasets.readers.cleaning import clean

        items, interactions, _ = clean(self.read_dump(folder))
        return items, interactions

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Does what `InteractionReader.prepare` does, and adds `dropped` to the report."""
        from llmrec.datasets.readers.cleaning import clean
        from llmrec.datasets.sequences import make_sequences

        items, interactions, dropped = clean(self.read_dump(folder))
        splits = make_sequences(items, interactions, dataset, str(folder)).splits()
        return replace(splits, report=splits.report | {"dropped": dropped})
