"""Made-up records of planned runs: what a training and an evaluation leave, without either."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from llmrec.evaluation.accuracy import accuracy, hit, ndcg, reciprocal_rank
from llmrec.evaluation.record import write_record
from llmrec.metrics.accuracy import FIGURES
from llmrec.metrics.measured import row_table
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
RANKED_BY: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"ndcg": ndcg, "hr": hit, "mrr": reciprocal_rank}
SLOTS = {"@5": 5, "@10": 10, "": 10}
TINY = {"model": "tiny", "weights": "1" * 64}
"""What a record says of a reference model."""
PROVENANCE = {
    "versions": {"llmrec": "0.1.0", "python": "3.11"},
    "revision": "abc123",
    "hardware": {"machine": "x86_64", "threads": 1, "gpus": []},
}


def hits(count: int) -> list[int]:
    """The first rows have their target in the first place, the others nowhere."""
    return [int(row < count) for row in range(len(USERS))]


def write_run(
    job: Job,
    ranks: Sequence[int],
    users: Sequence[str] = USERS,
    hallucinated: Sequence[bool | None] = HALLUCINATED,
    lists: Sequence[float] = LISTS,
    own: Mapping[str, Sequence[float]] | None = None,
    protocol: str = "80b2e4d7",
    **changes: Any,
) -> Run:
    """Writes a finished run of task next_item.

    Args:
        job: The planned run.
        ranks: The rank of each test row's target.
        users: The user of each test row.
        hallucinated: Whether the first title of each test row is a semantic hallucination, None where it is right.
        lists: Share of the bins in the list of every row.
        own: Values by test row of a user's own metrics, by name.
        protocol: The ID of the protocol.
        changes: Entries of metrics.json that differ.
    """
    own = own or {}
    split = _catalogue_split(job, ranks, users) | {name: {"mean": float(np.mean(own[name]))} for name in own}
    record = {
        "task": {"name": "next_item"},
        "decoding": {"scores": "trie"},
        "reference": dict.fromkeys(("relevance", "embeddings"), TINY),
        "splits": {"test": split | {"protocol": protocol}},
        "seconds": {"opening": 1.0, "valid": 2.0, "test": 4.0},
    }
    identity = {
        "row": pa.array(range(len(ranks))),
        "user": pa.array(users),
        "target": pa.array([f"item{row}" for row in range(len(ranks))]),
    }
    columns = _accuracy_by_row(np.array(ranks), "by_title") | _accuracy_by_row(np.array(ranks), "by_item")
    for name in ("popularity", "relevance"):
        exposure = {f"exposure{at}": [k * share for share in lists] for at, k in SLOTS.items()}
        for part, bins in {**exposure, "history": [10 * share for share in HISTORIES]}.items():
            columns[f"fairness.{name}.{part}"] = np.tile(bins, (len(ranks), 1))
    columns["hallucination.hallucinated"] = np.array([float(judged is True) for judged in hallucinated])
    columns["hallucination.wrong"] = np.array([float(judged is not None) for judged in hallucinated])
    columns |= {f"{name}.mean": np.array(values) for name, values in own.items()}
    return _write(job, record | changes, row_table(identity, columns))


def _accuracy_by_row(ranks: np.ndarray, view: str) -> dict[str, np.ndarray]:
    cutoffs = {path: path.partition("@")[::2] for path in FIGURES}
    found = {f"{view}.{path}": RANKED_BY[kind](ranks, int(k)).astype(np.float64) for path, (kind, k) in cutoffs.items()}
    return {f"{view}.rank": ranks.astype(np.int32), **found}


def write_lists(job: Job, ndcg: Sequence[float], **changes: Any) -> Run:
    """Writes a finished run of task rerank whose test lists have these values of NDCG."""
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
        "seconds": {"opening": 1.0, "valid": 2.0, "test": 0.5, "test, orders_5": 4.0},
    }
    identity = {"list": pa.array(range(len(ndcg))), "user": pa.array(USERS)}
    columns = {f"by_list.ndcg@{k}": np.array(ndcg) for k in (1, 3, 5, 10)}
    columns |= {f"position.{name}": np.full(len(ndcg), value) for name, value in position.items()}
    return _write(job, record | changes, row_table(identity, columns))


def _catalogue_split(job: Job, ranks: Sequence[int], users: Sequence[str]) -> dict[str, Any]:
    bins = {"groups": 5, "mgu@5": 0.08, "dgu@5": 0.3, "gp@10": LISTS, "gh": HISTORIES}
    return {
        "dataset": _dataset(job),
        "simulated": True,
        "split_by": "leave_one_out" if "leave-one-out" in _dataset(job) else "time",
        "rows": len(ranks),
        "users": len(set(users)),
        "by_title": accuracy(np.array(ranks), np.array(users), 10),
        "fairness": {
            "head20_share": 0.6, "coverage": 0.2, "top20_relevance_share": 0.6, "popularity": bins, "relevance": bins,
        },
        "hallucination": {"semantic_share": 0.25},
        "recommender": "model",
    }  # fmt: skip


def _dataset(job: Job) -> str:
    return job.run.folder.parts[-5]


def _write(job: Job, record: Mapping[str, Any], rows: pa.Table) -> Run:
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
    # The rows of validation are in the same file.
    write_record(job.record, {**record, "measured_by": job.measuring_key}, {"valid": rows.slice(2, 3), "test": rows})
    return Run(job)
