"""A finished cell as its files tell of it."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.errors import InputError
from llmrec.training.cells import METRICS
from llmrec.training.plan import Job

CURVES = "curves.csv"
USERS = "users_test.parquet"
NOT_READ = ("target_title", "titles", "scores", "ranked", "relevance")
"""Columns of USERS that no figure is made of: most of its bytes."""
ROW_COLUMNS = {"next_item": ("user", "target"), "rerank": ("list", "user")}
"""What tells a row of USERS from another."""
Points = list[tuple[int, float]]
"""Steps and values of a curve."""


def read_users(file: Path) -> pa.Table:
    """Reads a table of rows or lists without the columns NOT_READ."""
    found = pq.ParquetFile(file)
    return found.read([name for name in found.schema_arrow.names if name not in NOT_READ])


@dataclass(frozen=True)
class Run:
    """A finished job; each file is read once, when it is asked for."""

    job: Job

    @property
    def id(self) -> str:
        """The path of the evaluation below runs/: <dataset>/<task>/<...>/<fingerprint>/eval/<fingerprint>."""
        return "/".join(self.job.record.parts[-7:])

    @cached_property
    def record(self) -> dict[str, Any]:
        """metrics.json. Raises InputError when it is damaged."""
        file = self.job.record / METRICS
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise InputError(f"{file} is damaged ({error}): remove it and run the cell again") from error

    @property
    def test(self) -> dict[str, Any]:
        """What was measured on test."""
        return dict(self.record["splits"]["test"])

    @property
    def task(self) -> str:
        """next_item or rerank."""
        return str(self.record["task"]["name"])

    @property
    def scores(self) -> str | None:
        """How titles were scored, trie or vocab; None in task rerank."""
        found = self.record["decoding"].get("scores")
        return None if found is None else str(found)

    @property
    def reference(self) -> dict[str, dict[str, str] | None]:
        """By reference feature of titles (relevance, embeddings) the model that made it, None where it was left out."""
        return dict(self.record["reference"])

    @cached_property
    def training(self) -> dict[str, Any]:
        """training.json."""
        return self.job.cell.training

    @cached_property
    def curves(self) -> dict[str, Points]:
        """Every logged metric by name; none of what is not trained."""
        found: dict[str, Points] = {}
        file = self.job.cell.folder / CURVES
        # A baseline that is counted, not trained, has none.
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        for row in csv.DictReader(lines):
            found.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
        return found

    @cached_property
    def users(self) -> pa.Table:
        """The rows or lists of test, without the columns NOT_READ."""
        return read_users(self.job.record / USERS)

    def ranks_rows_of(self, other: "Run") -> bool:
        """Whether both ranked the same rows or lists, in the same order."""
        columns = list(ROW_COLUMNS[self.task])
        # Lists of one number may have other candidates.
        if self.record["task"] != other.record["task"]:
            return False
        return bool(self.users.select(columns).equals(other.users.select(columns)))

    @property
    def wall_seconds(self) -> float:
        """Of training and evaluation."""
        return float(
            self.training["wall_seconds"] + sum(self.record["seconds"][p] for p in ("opening", "valid", "test"))
        )
