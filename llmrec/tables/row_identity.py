"""Which rows an evaluation ranked, also where an archive has no identifiers of users and items."""

import hashlib
import json

import pyarrow as pa
import pyarrow.compute as pc

from llmrec.evaluation.record import SPLIT

DIGESTS = b"llmrec.ranked_rows"
"""Entry of the metadata of rows.parquet in an archive: the digest of `ranked_rows` by split."""


def ranked_rows(rows: pa.Table, split: str) -> str:
    """Returns a digest of the rows or lists of a split, equal for evaluations that ranked the same ones in order.

    Args:
        rows: The content of rows.parquet for the split.
        split: "test" or "valid".
    """
    stored = (rows.schema.metadata or {}).get(DIGESTS)
    return str(json.loads(stored)[split]) if stored else _digest(rows)


def without_identifiers(rows: pa.Table) -> pa.Table:
    """Returns the content of rows.parquet without identifiers of users and items.

    Users become numbers in the order of their identifiers, in which tests and intervals draw them. `ranked_rows` stays
    what it was.
    """
    if DIGESTS in (rows.schema.metadata or {}):
        return rows
    digests = {split: _digest(rows.filter(pc.equal(rows[SPLIT], split))) for split in rows[SPLIT].unique().to_pylist()}
    users = rows["user"].to_pylist()
    width = len(str(len(users)))
    numbers = {user: f"{number:0{width}}" for number, user in enumerate(sorted(set(users)))}
    numbered = pa.array([numbers[user] for user in users])
    slim = rows.drop_columns(_identifying(rows)).append_column("user", numbered)
    return slim.replace_schema_metadata({DIGESTS: json.dumps(digests)})


def _digest(rows: pa.Table) -> str:
    columns = {name: rows[name].to_pylist() for name in _identifying(rows)}
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()


def _identifying(rows: pa.Table) -> list[str]:
    """Returns the names of the columns that identify a row; values of metrics have a name with a dot."""
    return [name for name in rows.column_names if name != SPLIT and "." not in name]
