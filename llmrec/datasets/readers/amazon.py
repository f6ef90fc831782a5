"""Readers of the Amazon review data of 2014, 2018 and 2023 that McAuley Lab publishes.

A folder holds the reviews and the metadata of one category or more, as downloaded (.gz) or unpacked.
"""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llmrec.datasets.readers.dump import DumpReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump

COMPRESSED = ("", ".gz")
ANY = "[!m]*"
"""Pattern of the names of categories, which begin with a capital. It does not match meta_<category>."""


class Amazon(DumpReader):
    """Base of the readers.

    Args:
        category: The category in the files' names, such as Video_Games; None if the folder has only one.
    """

    forms: ClassVar[tuple[tuple[str, str], ...]]
    """Names of the files of reviews and of metadata, with {} for the category."""

    def __init__(self, category: str | None = None) -> None:
        self.category = category
        self.layouts = tuple(
            (f"{reviews}{end}".format(category or ANY), f"{metadata}{other}".format(category or "*"))
            for reviews, metadata in self.forms
            for end in COMPRESSED
            for other in COMPRESSED
        )

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        named = ((reviews.format("*"), metadata.format("*")) for reviews, metadata in self.forms)
        return ", or ".join(f"{reviews} with {metadata}" for reviews, metadata in named) + ", also as .gz"

    def dataset_name(self, folder: Path) -> str:
        """Returns the category in lower case, with the year."""
        return f"{self.category or folder.name}_{self.name}".lower()

    def read_dump(self, folder: Path) -> "Dump":
        """Reads reviews as events, and metadata as items."""
        reviews, metadata = self.single_files(folder, "Choose a category: dataset.reader.category=NAME")
        return self.tables(reviews, metadata)

    @abstractmethod
    def tables(self, reviews: Path, metadata: Path) -> "Dump":
        """Reads both files."""


class Amazon2014(Amazon):
    """Reads reviews_<category>[_5].json and meta_<category>.json, whose lines are Python literals."""

    forms = (("reviews_{}.json", "meta_{}.json"), ("reviews_{}_5.json", "meta_{}.json"))

    def tables(self, reviews: Path, metadata: Path) -> "Dump":
        """Reads both files; the metadata line by line, without evaluating it."""
        from llmrec.datasets.readers.amazon_tables import dump_2014

        return dump_2014(reviews, metadata)


class Amazon2018(Amazon):
    """Reads <category>[_5].json and meta_<category>.json."""

    forms = (("{}.json", "meta_{}.json"), ("{}_5.json", "meta_{}.json"))

    def tables(self, reviews: Path, metadata: Path) -> "Dump":
        """Reads both files."""
        from llmrec.datasets.readers.amazon_tables import dump_2018

        return dump_2018(reviews, metadata)


class Amazon2023(Amazon):
    """Reads <category>.jsonl, or the ratings in <category>.csv, and meta_<category>.jsonl."""

    forms = (("{}.jsonl", "meta_{}.jsonl"), ("{}.csv", "meta_{}.jsonl"))

    def tables(self, reviews: Path, metadata: Path) -> "Dump":
        """Reads both files."""
        from llmrec.datasets.readers.amazon_tables import dump_2023

        return dump_2023(reviews, metadata)
