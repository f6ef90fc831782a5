"""Reader of the JSON samples that S-DPO publishes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader
from llmrec.datasets.settings import SPLITS

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits


class SDPO(Reader):
    """Reads <name>-train.json, <name>-val.json and <name>-test.json: lists of historyList, itemList and trueSelection.

    The samples have titles alone: neither ids, nor users, nor times. A title is its own id, each sample counts as a
    user of its own, and its number stands in for its time. The candidates in itemList join the catalogue; they are not
    used as candidate lists.
    """

    layouts = (("*-train.json", "*-val.json", "*-test.json"),)

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "<name>-train.json, <name>-val.json and <name>-test.json"

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads the published samples; see `read_sdpo`."""
        from llmrec.datasets.readers.sdpo_samples import read_sdpo

        files = self.single_files(folder, "Put each set into a folder of its own")
        return read_sdpo(dict(zip(SPLITS, files, strict=True)))
