"""The interface of readers. Imports the standard library only, because runs are planned with it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.pickles import refuse_pickles
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits


class Reader(ABC):
    """Reads folders of real data in one layout, chosen by `_target_`; its settings are constructor arguments.

    Runs are planned with `matches` and `files`, so a reader's module imports packages such as pyarrow only inside the
    functions that read.

    Attributes:
        layouts: The alternative forms of the layout, each a tuple of glob patterns relative to the folder. A folder has
            a form if every pattern matches at least one file; the first form that it has is read.
        optional: Glob patterns of files that are read if they exist.
        shaping: Keys of the group `dataset` that `prepare` uses.
        settings: The constructor's arguments with their defaults, as `build_reader` has passed them.
    """

    layouts: tuple[tuple[str, ...], ...] = ()
    optional: tuple[str, ...] = ()
    shaping: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the layout in messages and manifests: the class's name in lower case."""
        return type(self).__name__.lower()

    def layout_files(self, folder: Path) -> list[list[Path]]:
        """Returns the files of the first form of the layout that a folder has, a sorted list for each pattern.

        An empty list means that the folder is not in the layout.
        """
        for patterns in self.layouts:
            found = [_matching(folder, pattern) for pattern in patterns]
            if all(found):
                return found
        return []

    def single_files(self, folder: Path, remedy: str) -> list[Path]:
        """Returns the file of each pattern of a folder that `matches`.

        Raises:
            InputError: A pattern matches several files. The message ends in `remedy`.
        """
        found = self.layout_files(folder)
        if any(len(files) > 1 for files in found):
            names = ", ".join(file.name for files in found for file in files)
            raise InputError(f"{folder}: expected one file of each kind, found {names}. {remedy}")
        return [file for (file,) in found]

    def files(self, folder: Path) -> list[Path]:
        """Returns all files of a folder that are read, sorted. Their content is part of the dataset's key."""
        found = self.layout_files(folder)
        if found:
            found += [_matching(folder, pattern) for pattern in self.optional]
        return sorted({file for files in found for file in files})

    def matches(self, folder: Path) -> bool:
        """Returns whether a folder is in the layout."""
        return bool(self.layout_files(folder))

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return ", or ".join(" with ".join(patterns) for patterns in self.layouts)

    def dataset_name(self, folder: Path) -> str:
        """Returns the name that `llmrec.prepare` gives the dataset of a folder by default."""
        return folder.name

    def select(self, folder: Path) -> "Reader":
        """Returns the reader that reads a folder, which is this one.

        Raises:
            InputError: The folder is not in the layout, or its files are pickles.
        """
        if not self.matches(folder):
            refuse_pickles(folder)
            raise InputError(
                f"{folder.absolute()} is not in the layout of the reader {self.name}. Expected {self.expected()}. "
                "Complete the files, or choose another reader (dataset/reader=auto finds a shipped one)"
            )
        return self

    @abstractmethod
    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Reads a folder that `matches` and makes its splits.

        Args:
            folder: The folder.
            dataset: The resolved Hydra group `dataset`, of which only the keys in `shaping` may be used.

        Raises:
            InputError: A file cannot be used. The message names the file and the row.
        """


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.is_file())
