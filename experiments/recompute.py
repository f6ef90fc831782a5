"""Computes NDCG@10, HR@10 and MGU@5 of test rows from rows.parquet, with pandas and none of llmrec's code.

python experiments/recompute.py RANKING_FOLDER ...

NDCG@10 and HR@10 follow from the rank of the target. MGU@5 is the mean over popularity groups of the absolute
difference between a group's share of recommended titles and its share of the users' histories (arXiv 2510.10978).
Beside each value is that of metrics.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def recompute(rows: pd.DataFrame) -> dict[str, float]:
    """Returns the metrics of some rows by name."""
    rank = rows["by_title.rank"]
    is_hit = rank.between(1, 10)
    recommended, history = (
        np.stack(list(rows[f"fairness.popularity.{name}"])).sum(0) for name in ("exposure@5", "history")
    )
    return {
        "NDCG@10": (1 / np.log2(rank.where(is_hit) + 1)).fillna(0).mean(),
        "HR@10": is_hit.mean(),
        "MGU@5": np.abs(recommended / recommended.sum() - history / history.sum()).mean(),
    }


def main() -> None:
    """Prints the metrics of each ranking."""
    for folder in map(Path, sys.argv[1:]):
        rows = pd.read_parquet(folder / "rows.parquet")
        test = json.loads((folder / "metrics.json").read_text())["splits"]["test"]
        stored = {
            "NDCG@10": test["by_title"]["ndcg@10"],
            "HR@10": test["by_title"]["hr@10"],
            "MGU@5": test["fairness"]["popularity"]["mgu@5"],
        }
        print(folder)
        for name, value in recompute(rows[rows["split"] == "test"]).items():
            print(f"  {name} {value:.10f}, recorded {stored[name]:.10f}")


if __name__ == "__main__":
    main()
