"""Compares SASRec, fitted to all rows, with its published values: experiments/results/sasrec.md.

    LLMREC_DATA=<folder of datasets> python experiments/sasrec_published.py

Finished runs are read, not repeated; the table is rewritten after every run.
"""

from itertools import product
from typing import Any

from real_sets import RESULTS, call, header, row, splits, spread, training

PUBLISHED = {"books": (0.0133, 0.0285), "office": (0.0183, 0.0421)}
"""Test NDCG@10 and HR@10 in arXiv 2504.04178v4, Table 5, for the epoch that is best on test."""
SEEDS = (1, 2, 3)


def main() -> None:
    """Makes all runs, seed by seed."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in PUBLISHED}
    for seed, name in product(SEEDS, PUBLISHED):
        arguments = ["baseline=sasrec", f"dataset={name}", "dataset.source=real", "scale=paper", f"seed={seed}"]
        quiet = ["dataset.reference=null", "logger=csv", "trainer.progress=false"]
        record = call("llmrec.run", [*arguments, *quiet], "record: ")
        found[name].append(splits(record) | {"training": training(record)})
        (RESULTS / "sasrec.md").write_text(table(found))


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Returns the page with mean and standard deviation over seeds next to the published values."""
    head = "# SASRec\n\n`python experiments/sasrec_published.py` (scale=paper: all rows, by title)\n"
    lines = header(
        "Comparison with the published values", "dataset", "seeds", "validation NDCG@10", "test NDCG@10", "published",
        "test HR@10", "published", "chosen epoch", "refitted", "seconds per fit, one thread",
    )  # fmt: skip
    for name, runs in found.items():
        if not runs:
            lines.append(row(name, "0", *["not run"] * 8))
            continue
        ndcg, hr = (spread([run["test"]["by_title"][metric] for run in runs]) for metric in ("ndcg@10", "hr@10"))
        fits = [run["training"]["baseline"] for run in runs]
        lines.append(
            row(
                name, str(len(runs)), spread([run["valid"]["by_title"]["ndcg@10"] for run in runs]),
                ndcg, f"{PUBLISHED[name][0]:.4f}", hr, f"{PUBLISHED[name][1]:.4f}",
                ", ".join(str(fit["chosen_epoch"]) for fit in fits), "yes" if fits[0]["refitted"] else "no",
                ", ".join(f"{fit['seconds']:.0f}" for fit in fits),
            )
        )  # fmt: skip
    return "\n".join([head, *lines, ""])


if __name__ == "__main__":
    main()
