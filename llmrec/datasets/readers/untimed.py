"""The base class of readers of dumps whose events have an order, but no times."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrec.datasets.readers.dump import DumpReader
from llmrec.datasets.settings import LEAVE_ONE_OUT
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.prepared import Splits

OF_TIMES = ("events", "train_rows_after_the_first_test_target")
"""Entries of the report that need times."""


class UntimedReader(DumpReader):
    """Reads events whose order stands in for their times, so that they can be split by leave_one_out only."""

    @abstractmethod
    def has_times(self, folder: Path) -> bool:
        """Returns whether the events of a folder have times, so that they can be split by time as well."""

    def prepare(self, folder: Path, dataset: Mapping[str, Any]) -> "Splits":
        """Does what `DumpReader.prepare` does.

        Raises:
            InputError: For anything that it rejects, and for events without times that are to be split by time.
        """
        if self.has_times(folder):
            return super().prepare(folder, dataset)
        if dataset["split"] != LEAVE_ONE_OUT:
            raise InputError(
                f"{folder}: the files of the reader {self.name} have no times, so that nothing can be split by time. "
                "Leave the last two items of each user out: dataset.split=leave_one_out"
            )
        splits = super().prepare(folder, dataset)
        report = {key: entry for key, entry in splits.report.items() if key not in OF_TIMES}
        return replace(splits, report=report | {"times": "none in the files; events are taken to be in order of time"})
