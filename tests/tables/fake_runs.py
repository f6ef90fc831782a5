"""Made-up records of planned runs: what a training and an evaluation leave, without either."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmrec.evaluation.accuracy import accuracy
from llmrec.tables.runs import Run
from llmrec.training.plan import Job

USERS = ("anna", "anna", "ben", "cleo", "dan", "eva", "eva", "eva")
"""Whose each test row is."""
HISTORIES = [0.4, 0.3, 0.2, 0.1, 0.0]
"""Shares of the histories by fifths of the titles."""
LISTS = [0.6, 0.2, 0.1, 0.1, 0.0]
"""Shares of the lists; from those of the histories they are 0.2, -0.1, -0.1, 0, 0 away."""
HALLUCINATED = (True, False, False, False, None, None, None, None)
"""Of each test row, None where the first title is right."""
SLOTS = {"@5": 5, "@10": 10, "": 10}
TINY = {"model": "tiny", "weights": "1" * 64}
"""What a record says of a reference model."""
PROVENANCE = {
    "versions": {"llmrec": "0.1.0", "python": "3.11"},
    "revision": "abc123",
    "hardware": {"machine": "x86_64", "threads": 1, "gpus": []},
}


def write_run(
    job: Job,
    ranks: Sequence[int],
    users: Sequence[str] = USERS,
    hallucinated: Sequence[bool | None] = HALLUCINATED,
    lists: Sequence[float] = LISTS,
    **changes: Any,
) -> Run:
    """A finished next-item run whose test rows have these ranks; lists: shares of bins, of every row.

    changes: of metrics.json, by key.
    """
    record = {
        "task": {"name": "next_item"},
        "decoding": {"scores": "trie"},
        "reference": dict.fromkeys(("relevance", "embeddings"), TINY),
        "splits": {"test": _catalogue_split(job, ranks)},
        "seconds": {"opening": 1.0, "valid": 2.0, "test": 4.0},
    }
    columns = {
        "row": list(range(len(ranks))),
        "user": list(users),
        "target": [f"item{row}" for row in range(len(ranks))],
        "rank": pa.array(ranks, pa.int32()),
        "item_rank": pa.array(ranks, pa.int32()),
        "titles": [["a title"]] * len(ranks),
        "hallucinated": list(hallucinated),
    }
    for name in ("popularity", "relevance"):
        columns |= {f"{name}.exposure{at}": [[k * share for share in lists]] * len(ranks) for at, k in SLOTS.items()}
        columns[f"{name}.history"] = [[10 * share for share in HISTORIES]] * len(ranks)
    return _write(job, record | changes, columns)


def write_lists(job: Job, ndcg: Sequence[float], **changes: Any) -> Run:
    """A finished re-ranking run whose test lists have these NDCG@10."""
    position = {"ndcg_std": 0.02, "kendall_tau": 0.5}
    mean = float(np.mean(ndcg))
    split = {
        "dataset": _dataset(job),
        "simulated": True,
        "users": 5,
        "lists": len(ndcg),
        "by_list": {f"ndcg@{k}": mean for k in (1, 3, 5, 10)},
        "position": {"orders": 5, **position},
        "recommender": "model",
    }
    record = {
        "task": {"name": "rerank"},
        "decoding": {"bootstrap": 1},
        "reference": dict.fromkeys(("relevance", "embeddings")),
        "splits": {"test": split},
        "seconds": {"opening": 1.0, "valid": 2.0, "test": 4.0, "test, one ranking a list": 0.5},
    }
    columns = {"list": list(range(len(ndcg))), "user": list(USERS), **{f"ndcg@{k}": list(ndcg) for k in (1, 3, 5, 10)}}
    columns |= {name: [value] * len(ndcg) for name, value in position.items()}
    return _write(job, record | changes, columns)


def _catalogue_split(job: Job, ranks: Sequence[int]) -> dict[str, Any]:
    bins = {"groups": 5, "mgu@5": 0.08, "dgu@5": 0.3, "gp@10": LISTS, "gh": HISTORIES}
    return {
        "dataset": _dataset(job),
        "simulated": True,
        "users": len(ranks),
        "by_title": accuracy(np.array(ranks), 10),
        "fairness": {
            "head20_share": 0.6, "coverage": 0.2, "top20_relevance_share": 0.6, "popularity": bins, "relevance": bins,
        },
        "hallucination": {"semantic_share": 0.25},
        "recommender": "model",
    }  # fmt: skip


def _dataset(job: Job) -> str:
    return job.run.folder.parts[-5]


def _write(job: Job, record: Mapping[str, Any], columns: Mapping[str, Any]) -> Run:
    job.record.mkdir(parents=True)
    job.run.config_file.touch()
    training = {
        "chosen_epoch": 1,
        "seconds": {"preparing": 1.0, "training": 30.0},
        "timed_epochs": 2,
        "seed": int(job.name.rpartition("-")[2]),
        "scale": "smoke",
        "provenance": PROVENANCE,
        "wall_seconds": 33.0,
    }
    (job.run.folder / "training.json").write_text(json.dumps(training))
    lines = ["step,metric,value", "0,train/loss,3.5", "0,train/memory_gib,0.5", "1,train/loss,3.25"]
    lines += ["1,train/memory_gib,0.75", "1,valid/ndcg@10,0.125"]
    (job.run.folder / "curves.csv").write_text("\n".join(lines) + "\n")
    pq.write_table(pa.table(dict(columns)), job.record / "users_test.parquet")
    (job.record / "metrics.json").write_text(json.dumps(record))
    return Run(job)
