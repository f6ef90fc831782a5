"""The paired comparison of two evaluations on the same rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmrec.errors import InputError
from llmrec.evaluation.record import ROWS_FILE, SPLIT, read_metrics
from llmrec.evaluation.significance import Comparison, compare, compare_measures
from llmrec.manifest import damage_named, folder_manifest, measure_again
from llmrec.tables.measures import has_sums, sums, values
from llmrec.tables.row_identity import ranked_rows
from llmrec.training.run_folder import RunFolder


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a run on a split.

    Attributes:
        ranking: Folder of the ranking.
        split: "test" or "valid".
        dataset: Name and content hash of the dataset.
        record: The content of metrics.json.
        rows: The columns that identify a row, and the metrics' values by row.
    """

    ranking: Path
    split: str
    dataset: tuple[str, str]
    record: dict[str, Any]
    rows: pa.Table

    @property
    def ranked_rows(self) -> str:
        """Identifies the rows and their order."""
        return ranked_rows(self.rows, self.split)


def read_evaluation(folder: Path, ranking: Path, split: str) -> Evaluation:
    """Reads the evaluation of a run.

    Args:
        folder: The run's folder.
        ranking: The folder of its ranking.
        split: "test" or "valid".

    Raises:
        InputError: The run was not evaluated on the split, or a file is damaged.
    """
    record, file = read_metrics(ranking), ranking / ROWS_FILE
    if split not in record["splits"]:
        raise InputError(
            f"{folder} was evaluated on {', '.join(record['splits'])}, not on {split}. Choose one of these"
        )
    folder_manifest(ranking).check(measure_again(file), ROWS_FILE)
    with damage_named(file, measure_again(file)):
        table = pq.read_table(file)
        rows = table.filter(pc.equal(table[SPLIT], split)).drop_columns(SPLIT)
    trained_on = RunFolder(folder).training["dataset"]
    return Evaluation(ranking, split, (trained_on["name"], trained_on["content_hash"]), record, rows)


def compare_evaluations(first: Evaluation, second: Evaluation, metric: str | None = None) -> Comparison:
    """Compares two evaluations in a metric; see `llmrec.compare`.

    Raises:
        InputError: They are not of the same rows, or the metric has no values by row.
    """
    _check_same_rows(first, second)
    metric = metric or first.record["headline"]["path"]
    users = first.rows["user"].to_numpy(zero_copy_only=False).astype(str)
    if has_sums(metric):
        parts = [sums(_with_metric(side, metric), metric) for side in (first, second)]
        return compare_measures([parts[0].rows], [parts[1].rows], users, parts[0].measure)
    one, other = (values(_with_metric(side, metric), metric) for side in (first, second))
    return compare(one, other, users)


def _check_same_rows(first: Evaluation, second: Evaluation) -> None:
    if first.dataset != second.dataset:
        (one, one_hash), (other, other_hash) = first.dataset, second.dataset
        raise InputError(
            f"{first.ranking} is of dataset {one} ({one_hash[:12]}), {second.ranking} of {other} ({other_hash[:12]}). "
            "Give two runs on the same data"
        )
    # Under other settings of the task, lists with equal numbers have different candidates.
    if first.record["task"] != second.record["task"] or first.ranked_rows != second.ranked_rows:
        raise InputError(
            f"{first.ranking} ({len(first.rows):,} rows) and {second.ranking} ({len(second.rows):,} rows) did not rank "
            "the same rows. Evaluate one of them again with the other's evaluation.users, sample_seed and task"
        )


def _with_metric(evaluation: Evaluation, metric: str) -> pa.Table:
    """Returns the values by row, after checking that they have those of a metric."""
    family = metric.partition(".")[0]
    columns = [name for name in evaluation.rows.column_names if name.partition(".")[0] == family]
    if metric in columns or (columns and has_sums(metric)):
        return evaluation.rows
    known = sorted(name for name in evaluation.rows.column_names if "." in name and not name.endswith(".rank"))
    raise InputError(
        f"metric={metric}: {evaluation.ranking} has no values of it by row. Choose one of {', '.join(known)}"
    )
