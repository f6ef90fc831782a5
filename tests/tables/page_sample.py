"""A made-up report as the page gets it: every figure is drawn from a generator of random numbers, none was measured."""

import random
from typing import Any

DATASETS = ["games-sim", "office-sim"]
SEEDS = (1, 2, 3)
ACCURACY = [
    {
        "name": "NDCG@10",
        "direction": "higher",
        "digits": 4,
        "unit": "",
        "gains": True,
        "metric_path": "by_title.ndcg@10",
    },
    {"name": "HR@10", "direction": "higher", "digits": 4, "unit": "", "gains": True, "metric_path": "by_title.hr@10"},
    {"name": "training", "direction": None, "digits": 1, "unit": "s", "gains": False, "metric_path": "cost.seconds"},
]
FAIRNESS = [
    {
        "name": "MGU@5 popularity",
        "direction": "lower",
        "digits": 4,
        "unit": "",
        "gains": True,
        "metric_path": "fairness.popularity.mgu@5",
    },
    {
        "name": "coverage",
        "direction": "higher",
        "digits": 3,
        "unit": "",
        "gains": True,
        "metric_path": "fairness.coverage",
    },
]
BASE = {"NDCG@10": 0.11, "HR@10": 0.22, "training": 88.0, "MGU@5 popularity": 0.071, "coverage": 0.8}


def sample_report() -> dict[str, Any]:
    """Two tables of simulated sets: one with a row that was not run, a cell of one seed and published figures."""
    rng = random.Random(7)
    runs: dict[str, Any] = {}
    accuracy = _table(rng, runs, "msl_accuracy", ACCURACY, ["SFT", "MSL", "MSL, fixed temperature", "SASRec"])
    fairness = _table(rng, runs, "gdrt_fairness", FAIRNESS, ["SFT", "MSL", "GDRT(SFT)", "GDRT(MSL)"])
    _leave_out(accuracy)
    accuracy |= {
        "title": "Accuracy of MSL",
        "about": "Does masking tokens that lead to no title help, and does the adaptive temperature?",
        "published": [_published()],
        "notes": ["Made-up figures for a test.", "Holm over the three comparisons of a dataset and metric."],
        "counts": {"done": 20, "outdated": 0, "failed": 1, "interrupted": 0, "not run": 3},
        "summary": {"done": 20, "running": 0, "left": 4, "reasons": ["3 not started", "1 failed"]},
    }
    fairness |= {
        "title": "Fairness of GDRT",
        "about": "Whose titles get room in the lists? Parity by five bins of popularity and relevance.",
        "counts": {"done": 24, "outdated": 0, "failed": 0, "interrupted": 0, "not run": 0},
        "summary": {"done": 24, "running": 0, "left": 0, "reasons": []},
    }
    return {
        "title": "Results, scale smoke",
        "scale": "smoke",
        "made": "2026-11-24 20:15 UTC",
        "revision": "0123456789ab",
        "hardware": {"machine": "x86_64", "threads": 2, "gpus": []},
        "tables": [accuracy, fairness],
        "runs": runs,
        "gains": [gain for table in (accuracy, fairness) for gain in _gains(rng, table)],
    }


def sample_table(name: str) -> dict[str, Any]:
    """The sample report with this table alone, whose plots take less time."""
    report = sample_report()
    report["tables"] = [table for table in report["tables"] if table["name"] == name]
    report["gains"] = [gain for gain in report["gains"] if gain["table"] == name]
    return report


def rename_row(report: dict[str, Any], old: str, new: str) -> None:
    """Gives a row another name, wherever the report has it."""
    for named, key in [(row, "name") for table in report["tables"] for row in table["rows"]] + [
        (gain, "row") for gain in report["gains"]
    ]:
        if named[key] == old:
            named[key] = new


def empty_report() -> dict[str, Any]:
    """One table of which nothing has been run, so that nothing is known of revision and hardware."""
    report = sample_report()
    table = report["tables"][0]
    for row in table["rows"]:
        row |= {"cells": {}, "runs": {}, "missing": dict.fromkeys(DATASETS, "not run: left")}
    counts = dict.fromkeys(table["counts"], 0) | {"not run": 24}
    summary = {"done": 0, "running": 0, "left": 24, "reasons": ["24 not started"]}
    table |= {"published": [], "counts": counts, "summary": summary}
    return report | {"tables": [table], "runs": {}, "gains": [], "revision": None, "hardware": {}}


BROWSER: dict[str, Any] = {
    "runs": ["SFT", "MSL"],
    "titles": ["Braid", "Fez </script><b>\"bold\"</b> & 'quotes'", "Celeste", "Doom", "Go"],
    "users": [
        {"user": "anna", "relevance": [[1, 1]], "history": [0, 4], "lists": [[1, 2, 0], [2, 3, 1]]},
        {"user": "ben", "relevance": [[2, 1]], "history": [3], "lists": [[2, 0, 1], [0, 1, 4]]},
        {"user": "cleo", "relevance": [[3, 1]], "history": [0], "lists": [[1, 2, 4], [3, 2, 0]]},
    ],
    "all_users": 30,
    "missing": [],
}
"""Users of a comparison. SFT has the target of anna and ben, MSL that of anna and cleo."""


LIST_BROWSER: dict[str, Any] = {
    "runs": ["SFT", "ALRO"],
    "titles": ["Braid", "Fez", "Celeste", "Doom"],
    "users": [
        {"user": "anna", "relevance": [[0, 5.0], [1, 5.0], [2, 2.5]], "history": [3], "lists": [[0, 2, 1], [2, 1, 0]]},
        {"user": "ben", "relevance": [[1, 0.0], [3, 4.0]], "history": [], "lists": [[1, 3], [3, 1]]},
    ],
    "all_users": 2,
    "missing": ["Not shown: DPO."],
}
"""Users of a comparison of task rerank. SFT has one of the best candidates of anna first, ALRO that of ben."""


def comparison_report() -> dict[str, Any]:
    """The accuracy table as a comparison of runs, with a browser of users."""
    report = sample_table("msl_accuracy")
    report["tables"][0] |= {"published": [], "summary": {"done": 20, "running": 0, "left": 0, "reasons": []}}
    return report | {"title": "Comparison of 20 runs", "lines": ["A line."], "browsers": {"msl_accuracy": BROWSER}}


def rerank_report() -> dict[str, Any]:
    """A comparison of task rerank."""
    report = comparison_report() | {"browsers": {"msl_accuracy": LIST_BROWSER}}
    report["tables"][0]["task"] = "rerank"
    return report


def _table(
    rng: random.Random, runs: dict[str, Any], name: str, metrics: list[dict[str, Any]], rows: list[str]
) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": name, "task": "next_item", "scores": "trie", "simulated": True, "reference": "SFT",
        "datasets": DATASETS, "metrics": metrics, "published": [], "notes": [], "rows": [],
    }  # fmt: skip
    for place, row in enumerate(rows):
        cells = {dataset: {m["name"]: _cell(rng, m["name"], place) for m in metrics} for dataset in DATASETS}
        found = {dataset: [_run(rng, runs, row, place, dataset, seed) for seed in SEEDS] for dataset in DATASETS}
        table["rows"].append({"name": row, "cells": cells, "missing": {}, "left_out": {}, "runs": found})
    return table


COMPARED = ("gain", "low", "high", "gain_interval", "p", "significant")
"""What a cell says of its row and the reference."""


def _cell(rng: random.Random, metric: str, place: int) -> dict[str, Any]:
    base = BASE[metric]
    if place == 0:
        compared = dict.fromkeys(COMPARED)
        return {"mean": base, "std": base * 0.03, "seeds": 3, "interval": None, **compared}
    difference = base * rng.uniform(-0.08, 0.2)
    cell = {"mean": base + difference, "std": base * rng.uniform(0.01, 0.06), "seeds": 3, "interval": None}
    if metric == "training":
        return cell | dict.fromkeys(COMPARED)
    half = base * rng.uniform(0.03, 0.1)
    significant = abs(difference) > half
    return cell | {
        "gain": 100 * difference / base, "low": difference - half, "high": difference + half,
        "gain_interval": [100 * (difference - half) / base, 100 * (difference + half) / base],
        "p": 0.004 if significant else 0.31, "significant": significant,
    }  # fmt: skip


def _run(rng: random.Random, runs: dict[str, Any], row: str, place: int, dataset: str, seed: int) -> str:
    who = row.split(",")[0].split("(")[0].lower()
    cell = f"{dataset}/next_item/tiny/{who}/{rng.getrandbits(64):016x}/rankings/{rng.getrandbits(64):016x}"
    steps = range(0, 96, 2)
    runs[cell] = {
        "command": f"python -m llmrec.run objective={who} dataset={dataset.removesuffix('-sim')} seed={seed}",
        "dataset": dataset, "simulated": True, "task": "next_item", "who": who, "seed": seed, "scale": "smoke",
        "chosen_epoch": seed % 3, "revision": "0123456789ab", "edited": ["objectives/msl.py"] if seed == 2 else [],
        "versions": {"llmrec": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.7"},
        "hardware": {"machine": "x86_64", "threads": 2, "gpus": []},
        "seconds": {"reference features": 3.1, "preparing": 0.9, "training": 87.1, "decoding test": 9.4},
        "wall_seconds": 136.4, "archive": "records/ours.tar.gz" if seed == 1 else None,
        "curves": {
            "train/loss": [[step, 1.2 + 30 / (9 + place + step) + rng.gauss(0, 0.08)] for step in steps],
            "train/learning_rate": [[step, 1e-3 * (1 - step / 96)] for step in steps],
            "valid/ndcg@10": [[32 * epoch, 0.05 + 0.02 * epoch + rng.gauss(0, 0.004)] for epoch in (1, 2, 3)],
        },
        "fairness": {"popularity": _bins(rng, 0.6), "relevance": _bins(rng, 0.8)},
        "reference": {"relevance": {"model": "tiny", "weights": "0123456789abcdef"}, "embeddings": None},
    }  # fmt: skip
    return cell


def _bins(rng: random.Random, fall: float) -> dict[str, Any]:
    """Shares of five bins, falling."""
    weights = [fall**place * rng.uniform(0.7, 1.3) for place in range(5)]
    lists = [weight / sum(weights) for weight in weights]
    return {"gp": lists, "gh": [0.3, 0.25, 0.2, 0.15, 0.1], "mgu@5": 0.05, "dgu@5": 0.2}


def _gains(rng: random.Random, table: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _user_gain(rng, table["name"], row["name"], dataset, metric["name"])
        for row in table["rows"][1:]
        for dataset in row["cells"]
        for metric in table["metrics"]
        if row["cells"][dataset][metric["name"]] and metric["name"] in ("NDCG@10", "HR@10")
    ]


def _user_gain(rng: random.Random, table: str, row: str, dataset: str, metric: str) -> dict[str, Any]:
    counts = [rng.randrange(1 + 2 * min(place, 20 - place)) for place in range(21)]
    worse, better = sum(counts[:10]), sum(counts[10:])
    return {
        "table": table, "row": row, "dataset": dataset, "metric": metric,
        "users": 400, "better": better, "worse": worse, "same": 400 - better - worse,
        "edges": [-0.7 + place / 15 for place in range(22)], "counts": counts,
    }  # fmt: skip


def _leave_out(table: dict[str, Any]) -> None:
    """Of the accuracy table: SASRec was not run on office, its one metric on games failed, one row has one seed."""
    sasrec, fixed = table["rows"][3], table["rows"][2]
    sasrec["cells"]["office-sim"] = dict.fromkeys(sasrec["cells"]["office-sim"])
    sasrec["missing"]["office-sim"] = "not run: failed"
    sasrec["runs"]["office-sim"] = []
    sasrec["cells"]["games-sim"]["HR@10"] = None
    fixed["cells"]["games-sim"]["NDCG@10"] |= {"std": None, "seeds": 1}
    fixed["missing"]["games-sim"] = "seeds 2, 3 not run: left"
    fixed["runs"]["games-sim"] = fixed["runs"]["games-sim"][:1]


def _published() -> dict[str, Any]:
    return {
        "source": "a made-up paper, for this test", "backbone": "LLaMA3-8B",
        "selection": "best epoch on test (NDCG@5)", "note": "Another split, another metric.",
        "datasets": ["toys", "office"], "metrics": ["NDCG@5", "HR@5"],
        "rows": {
            "SFT": {"toys": {"NDCG@5": 0.1234, "HR@5": 0.234}, "office": {"NDCG@5": 0.1111}},
            "SFT + MSL": {"toys": {"NDCG@5": 0.1334, "HR@5": 0.25}, "office": {"NDCG@5": 0.1212, "HR@5": 0.2}},
        },
    }  # fmt: skip
