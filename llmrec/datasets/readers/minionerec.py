"""Reader of the layout in which MiniOneRec publishes its splits."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader
from llmrec.datasets.settings import SPLITS
from llmrec.settings.types import Text

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits


class MiniOneRec(Reader):
    """Reads splits that were published as such: train/, valid/ and test/ with a CSV each, and index/<name>.item.json.

    The files have no times. Splits are by time and rows are in order of their targets' times, so that the number of a
    row stands in for its time. The semantic IDs in index/<name>.index.json are used with items=tokens and items.file.

    Args:
        category: The beginning of the files' names, such as Industrial_and_Scientific; None if the folder has only one.
    """

    def __init__(self, category: Text | None = None) -> None:
        self.layouts = (
            (*(f"{split}/{category or ''}*.csv" for split in SPLITS), f"index/{category or '*'}.item.json"),
        )

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "train/, valid/ and test/ with <name>*.csv, and index/<name>.item.json"

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads the published splits; see `read_minionerec`."""
        from llmrec.datasets.readers.minionerec_tables import read_minionerec

        *splits, titles = self.single_files(folder, "Choose a set: dataset.reader.category=NAME")
        return read_minionerec(dict(zip(SPLITS, splits, strict=True)), titles)
