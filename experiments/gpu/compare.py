"""Prints test figures of packed runs with 95 % intervals, and their differences from one of them.

python experiments/gpu/compare.py reference=msl experiments/results/records/<archive> ...

One run of each name and set. Intervals are clustered by user; differences are tested as in the report's tables.
"""

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from llmrec.evaluation.significance import clustered_standard_error, compare

METRICS = ("by_title.ndcg@10", "by_title.hr@10")
Rows = dict[str, np.ndarray]


def test_rows(file: Path) -> Rows:
    """Reads the user and the metrics of each test row of a run, in the order of the rows."""
    table = pq.read_table(file, columns=["split", "row", "user", *METRICS])
    is_test = np.asarray(table["split"]) == "test"
    rows = {name: np.asarray(table[name])[is_test] for name in table.column_names}
    order = np.argsort(rows["row"])
    return {name: values[order] for name, values in rows.items()}


def described(rows: Rows) -> list[str]:
    """Returns each metric with its interval, and the number of rows and users."""
    users = rows["user"]
    errors = {metric: 1.96 * clustered_standard_error(rows[metric], users) for metric in METRICS}
    figures = [f"{metric} {rows[metric].mean():.4f} ± {error:.4f}" for metric, error in errors.items()]
    return [*figures, f"{len(users)} rows of {len(set(users))} users"]


def main(reference: str, archives: list[str]) -> None:
    """Prints one line for each run and one for each difference."""
    with tempfile.TemporaryDirectory() as folder:
        for archive in archives:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        runs: dict[str, dict[str, Rows]] = {}
        for file in sorted(Path(folder).glob("*/*/*/*/*/rankings/*/rows.parquet")):
            dataset, *_, name, _, _, _, _ = file.relative_to(folder).parts
            runs.setdefault(dataset, {})[name] = test_rows(file)
    for dataset, named in runs.items():
        for name, rows in named.items():
            print(dataset, name, *described(rows))
        first = named.pop(reference)
        for name, rows in named.items():
            assert (rows["row"] == first["row"]).all()
            found = compare(first[METRICS[0]], rows[METRICS[0]], rows["user"])
            interval = f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}], p = {found.p_value:.4f}"
            print(f"{dataset} {reference} - {name}: {METRICS[0]} {interval}")


if __name__ == "__main__":
    main(sys.argv[1].removeprefix("reference="), sys.argv[2:])
