"""Compares ALRO and its parts with SFT, bootstrapping and baselines: experiments/results/alro_<dataset>.md.

    LLMREC_DATA=<folder of datasets> python experiments/alro_real.py movielens_100k

Uses the tiny backbone, three seeds, and scale=cpu except for SETTINGS. Finished runs are read, not repeated; the file
is rewritten after every run.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from real_sets import RESULTS, call, cell, header, row, splits, spread

from llmrec.evaluation.significance import compare, holm

SEEDS = (1, 2, 3)
SETTINGS = [
    "backbone.pretraining.rows=null",
    "backbone.pretraining.epochs=4",
    "backbone.pretraining.batch_size=16",
    "trainer.batch_size=16",
    "trainer.micro_batch_size=16",
]
"""Many small steps, since a model of a million parameters learns late to compare candidates."""
BASELINES = {
    "random": ["baseline=random", "task=rerank"],
    "popularity": ["baseline=popularity", "task=rerank"],
    "SASRec": ["baseline=sasrec", "task=rerank"],
    "mean rating": ["baseline=mean_rating", "task=rerank"],
}
MODELS = {
    "SFT": ["objective=sft", "task=rerank"],
    "SFT + SLL": ["objective=alro", "objective.beta=0"],
    "SFT + PSL": ["objective=alro", "objective.alpha=0"],
    "ALRO": ["objective=alro"],
}
TEST = [("split", "=", "test")]
"""Filters the rows of the test split."""
BOOTSTRAPPED = "SFT, bootstrapping over 3 orders"
FREE = ["evaluation.unconstrained=true"]
Figures = dict[str, list[Path]]
"""Name of the recommender -> its records, one for each seed."""


def main() -> None:
    """Makes all runs, seed by seed, so that incomplete tables already compare all recommenders."""
    dataset = sys.argv[1]
    figures: Figures = defaultdict(list)
    for name, overrides in BASELINES.items():
        figures[name].append(cell(dataset, SEEDS[0], overrides))
    for seed in SEEDS:
        for name, overrides in MODELS.items():
            figures[name].append(cell(dataset, seed, [*overrides, *SETTINGS, *(FREE if seed == SEEDS[0] else [])]))
            if name == "SFT":
                run = figures[name][-1].parents[1]
                again = ["decoding.bootstrap=3", "evaluation.unconstrained=false"]
                figures[BOOTSTRAPPED].append(call("llmrec.evaluate", [f"run={run}", *again], "record: "))
            (RESULTS / f"alro_{dataset}.md").write_text(page(dataset, figures))


def page(dataset: str, figures: Figures) -> str:
    """Returns the page of a dataset."""
    head = (
        f"# ALRO on {dataset}\n\n`python experiments/alro_real.py {dataset}` (tiny, lists of 10, scale=cpu except "
        f"{', '.join(SETTINGS)})\n"
    )
    return "\n".join([head, accuracy(figures), against_sft(figures)])


def accuracy(figures: Figures) -> str:
    """Returns the table of graded NDCG by list on test, position bias and cost; validation chose the checkpoint."""
    lines = header(
        "Test", "re-ranker", "seeds", "validation NDCG@10", "NDCG@1", "NDCG@5", "NDCG@10", "± by user",
        "std of NDCG@10 over 5 orders", "Kendall tau", "parse failures", "milliseconds a list",
    )  # fmt: skip
    chance = [splits(figures["SFT"][0])[split]["random_order"] for split in ("valid", "test")]
    chances = (chance[0]["ndcg@10"], *(chance[1][f"ndcg@{k}"] for k in (1, 5, 10)))
    lines.append(row("chance (expectation)", "-", *(f"{value:.4f}" for value in chances), *["-"] * 5))
    for name, records in figures.items():
        runs = [splits(record) for record in records]
        test = [run["test"] for run in runs]
        free = [run["unconstrained"]["parse_failure_rate"] for run in test if "unconstrained" in run]
        lines.append(
            row(
                name,
                str(len(runs)),
                spread([run["valid"]["by_list"]["ndcg@10"] for run in runs]),
                *(spread([run["by_list"][f"ndcg@{k}"] for run in test]) for k in (1, 5, 10)),
                spread([run["by_list"]["ndcg@10_se"] for run in test]),
                *(spread([run["position"][key] for run in test]) for key in ("ndcg_std", "kendall_tau")),
                spread(free, 3) if free else "-",
                spread([1000 * seconds_a_list(record) for record in records], 1),
            )
        )
    return "\n".join([*lines, ""])


def against_sft(figures: Figures) -> str:
    """Returns the table of differences from SFT: means over seeds by list, resampled by user."""
    lines = header(
        "Difference from SFT, test NDCG@10 (mean over seeds by list; bootstrap and sign flips by user)", "re-ranker",
        "difference", "95 % interval", "p", "p, Holm",
    )  # fmt: skip
    users, comparisons = users_of(figures["SFT"][0]), {}
    for name, records in figures.items():
        # A model is compared with SFT for the same seeds, a baseline, which has a single run, with all seeds of SFT.
        seeds = len(figures["SFT"]) if name in BASELINES else len(records)
        if name != "SFT":
            comparisons[name] = compare(by_list(records), by_list(figures["SFT"][:seeds]), users)
    adjusted = holm({name: result.p_value for name, result in comparisons.items()})
    for name, result in comparisons.items():
        interval = f"{result.low:+.4f} to {result.high:+.4f}"
        lines.append(row(name, f"{result.difference:+.4f}", interval, f"{result.p_value:.4f}", f"{adjusted[name]:.4f}"))
    return "\n".join([*lines, ""])


def by_list(records: list[Path]) -> np.ndarray:
    """Returns NDCG@10 of each test list, float `[lists]`, as the mean over seeds."""
    tables = [pq.read_table(record / "rows.parquet", filters=TEST) for record in records]
    return np.mean([table["by_list.ndcg@10"].to_numpy() for table in tables], axis=0)


def users_of(record: Path) -> np.ndarray:
    """Returns the user of each test list, `[lists]`."""
    return np.array(pq.read_table(record / "rows.parquet", filters=TEST)["user"].to_pylist())


def seconds_a_list(record: Path) -> float:
    """Returns the mean seconds for ranking a test list once."""
    metrics: dict[str, Any] = json.loads((record / "metrics.json").read_text())
    return float(metrics["seconds"]["test, one ranking a list"] / metrics["splits"]["test"]["lists"])


if __name__ == "__main__":
    main()
