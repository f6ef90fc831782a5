"""Reads the files of a finished run."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.errors import InputError
from llmrec.training.plan import Job
from llmrec.training.run_folder import METRICS

CURVES = "curves.csv"
USERS = "users_test.parquet"
NOT_READ = ("target_title", "titles", "scores", "ranked", "relevance")
"""Columns of USERS that no metric needs. They take most of the file."""
ROW_COLUMNS = {"next_item": ("user", "target"), "rerank": ("list", "user")}
"""Columns that identify a row of USERS, by task."""
Points = list[tuple[int, float]]
"""Points of a curve: step and value."""


def read_users(file: Path) -> pa.Table:
    """Reads a file of values by row or list, without the columns NOT_READ."""
    found = pq.ParquetFile(file)
    return found.read([name for name in found.schema_arrow.names if name not in NOT_READ])


@dataclass(frozen=True)
class Run:
    """A finished run; each file is read once, on first access."""

    job: Job

    @property
    def id(self) -> str:
        """The path of the evaluation relative to the runs folder: <dataset>/<task>/<...>/<key>/eval/<key>."""
        return "/".join(self.job.record.parts[-7:])

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of metrics.json.

        Raises:
            InputError: The file is damaged.
        """
        file = self.job.record / METRICS
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise InputError(f"{file} is damaged ({error}). Remove it and make the run again") from error

    @property
    def test(self) -> dict[str, Any]:
        """The metrics of the test split."""
        return dict(self.record["splits"]["test"])

    @property
    def task(self) -> str:
        """The task, "next_item" or "rerank"."""
        return str(self.record["task"]["name"])

    @property
    def scores(self) -> str | None:
        """The score mode, "trie" or "vocab"; None for task rerank."""
        found = self.record["decoding"].get("scores")
        return None if found is None else str(found)

    @property
    def reference(self) -> dict[str, dict[str, str] | None]:
        """The reference model by reference feature (relevance, embeddings); None for a feature that was left out."""
        return dict(self.record["reference"])

    @cached_property
    def training(self) -> dict[str, Any]:
        """The content of training.json."""
        return self.job.run.training

    @cached_property
    def curves(self) -> dict[str, Points]:
        """The logged metrics by name; empty for a baseline that is not trained."""
        found: dict[str, Points] = {}
        file = self.job.run.folder / CURVES
        # Baselines such as popularity are not trained and have no such file.
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        for row in csv.DictReader(lines):
            found.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
        return found

    @cached_property
    def users(self) -> pa.Table:
        """The values by row or list of the test split, without the columns NOT_READ."""
        return read_users(self.job.record / USERS)

    def ranks_rows_of(self, other: "Run") -> bool:
        """Whether both runs ranked the same rows or lists in the same order."""
        columns = list(ROW_COLUMNS[self.task])
        # Under other settings of the task, lists with equal numbers have different candidates.
        if self.record["task"] != other.record["task"]:
            return False
        return bool(self.users.select(columns).equals(other.users.select(columns)))

    @property
    def wall_seconds(self) -> float:
        """The duration of training and evaluation in seconds."""
        return float(
            self.training["wall_seconds"] + sum(self.record["seconds"][part] for part in ("opening", "valid", "test"))
        )
