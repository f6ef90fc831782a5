"""Reader of the layout in which MSL publishes its datasets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits


class MSL(Reader):
    """Reads splits that were published as such: <split>.csv with item lists, and the titles in id2name4Rec.json."""

    layouts = (("id2name4Rec.json",),)
    optional = ("train.csv", "train_*.csv", "valid.csv", "test.csv")
    shaping = ("hold_out",)

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "id2name4Rec.json with train.csv or train_<n>.csv, optionally valid.csv, and test.csv"

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads the published splits; see `read_msl`."""
        from llmrec.datasets.readers.msl_tables import read_msl

        return read_msl(folder, dataset["hold_out"])
