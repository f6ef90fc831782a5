"""Reader of the layout in which MSL publishes its datasets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.base import Reader
from llmrec.datasets.settings import SPLITS

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits


class MSL(Reader):
    """Reads splits that were published as such: <split>.csv with item lists, and the titles in id2name4Rec.json.

    MSL and BEAR publish user_id, item_ids and timestamp; LLM4DSR adds columns, which are ignored.
    """

    layouts = (("id2name4Rec.json",),)
    shaping = ("hold_out",)

    def files(self, folder: Path) -> list[Path]:
        """Returns the titles, the file of each split and the published sample of train, sorted."""
        titles = [file for files in self.layout_files(folder) for file in files]
        sample, _ = published_sample(folder, "train")
        return sorted({*titles, *split_files(folder).values(), *([sample] if sample else [])})

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return "id2name4Rec.json with train.csv, test.csv and optionally valid.csv, each also as <split>_<n>.csv"

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads the published splits; see `read_msl`."""
        from llmrec.datasets.readers.msl_tables import read_msl

        return read_msl(folder, dataset["hold_out"])


def split_files(folder: Path) -> dict[str, Path]:
    """Returns the file of each split that was published: <split>.csv or, without it, its largest sample."""
    found = {}
    for split in SPLITS:
        whole, (sample, _) = folder / f"{split}.csv", published_sample(folder, split)
        if file := whole if whole.is_file() else sample:
            found[split] = file
    return found


def published_sample(folder: Path, split: str) -> tuple[Path | None, int | None]:
    """Returns the largest file <split>_<n>.csv and n, or None and None."""
    sizes = [path.stem.removeprefix(f"{split}_") for path in folder.glob(f"{split}_*.csv")]
    numbers = [int(size) for size in sizes if size.isdecimal()]
    if not numbers:
        return None, None
    return folder / f"{split}_{max(numbers)}.csv", max(numbers)
