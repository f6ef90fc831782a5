"""Reads the files of a finished run."""

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmrec.evaluation.record import ROWS_FILE, SPLIT, read_metrics
from llmrec.manifest import damage_named, folder_manifest, measure_again, retrain
from llmrec.tables.row_identity import ranked_rows
from llmrec.training.plan import Job

CURVES = "curves.csv"
Points = list[tuple[int, float]]
"""Points of a curve: step and value."""


@dataclass(frozen=True)
class Run:
    """A finished run; each file is read once, on first access."""

    job: Job

    @property
    def id(self) -> str:
        """The path of the ranking relative to the runs folder: <dataset>/<task>/<...>/<key>/rankings/<key>."""
        return "/".join(self.job.record.parts[-7:])

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of metrics.json.

        Raises:
            InputError: The file is damaged.
        """
        return read_metrics(self.job.record)

    @property
    def test(self) -> dict[str, Any]:
        """The metrics of the test split."""
        return dict(self.record["splits"]["test"])

    @property
    def shared_device(self) -> bool:
        """Whether other jobs ran on the same GPU, or on the same cores, while the run was trained."""
        hardware = self.training["provenance"]["hardware"]
        # Older records do not distinguish jobs that share a device from jobs that run at the same time.
        older = 1 if hardware["gpus"] else hardware.get("jobs_at_once", 1)
        return int(hardware.get("jobs_per_device", older)) > 1

    @property
    def task(self) -> str:
        """The task, "next_item", "candidates" or "rerank"."""
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

    @property
    def edited(self) -> list[str]:
        """The shipped files that were edited when the run was made, sorted; see `llmrec.components.Code`."""
        # Records of earlier versions do not have it.
        steps = {**self.training.get("code", {}), **self.record.get("code", {})}
        return sorted({name for step in steps.values() for name in step["edited"]})

    @cached_property
    def curves(self) -> dict[str, Points]:
        """The logged metrics by name; empty for a baseline that is not trained."""
        found: dict[str, Points] = {}
        file = self.job.run.folder / CURVES
        folder_manifest(file.parent).check(retrain(file.parent), CURVES)
        # Baselines such as popularity are not trained and have no such file.
        if not file.is_file():
            return found
        with damage_named(file, retrain(file.parent)):
            for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
                found.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
        return found

    @cached_property
    def users(self) -> pa.Table:
        """The metrics' values by row or list of the test split, and the columns that identify a row."""
        file = self.job.record / ROWS_FILE
        folder_manifest(self.job.record).check(measure_again(file), ROWS_FILE)
        with damage_named(file, measure_again(file)):
            table = pq.read_table(file)
            return table.filter(pc.equal(table[SPLIT], "test")).drop_columns(SPLIT)

    def ranks_rows_of(self, other: "Run") -> bool:
        """Whether both runs ranked the same rows or lists in the same order."""
        # Under other settings of the task, lists with equal numbers have different candidates.
        if self.record["task"] != other.record["task"]:
            return False
        return ranked_rows(self.users, "test") == ranked_rows(other.users, "test")

    @property
    def wall_seconds(self) -> float:
        """The duration of training and evaluation in seconds."""
        return float(self.training["wall_seconds"] + sum(self.record["seconds"].values()))
