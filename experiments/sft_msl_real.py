"""Compares SFT with MSL on a real dataset: experiments/results/sft_msl_<dataset>.md.

    LLMREC_DATA=<folder of datasets> python experiments/sft_msl_real.py games
    LLMREC_DATA=<folder of datasets> python experiments/sft_msl_real.py office

Uses the tiny backbone and scale=cpu. Finished runs are read, not repeated; the table is rewritten after every run.
"""

import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

from real_sets import RESULTS, call, cell, splits, spread

OBJECTIVES = {
    "SFT": ["objective=sft"],
    "MSL, ATS": ["objective=msl"],
    "MSL, tau 1": ["objective=msl", "objective.temperature=1"],
}
SEEDS = (1, 2, 3)
SCORES = ("trie", "vocab")
Key = tuple[str, str]
"""Name of the objective, and score mode."""


def main() -> None:
    """Makes all runs of a dataset, seed by seed, and then decodes them with the other score mode."""
    dataset = sys.argv[1]
    result = RESULTS / f"sft_msl_{dataset}.md"
    figures: dict[Key, list[dict]] = defaultdict(list)
    runs: list[tuple[str, Path]] = []
    for seed, (name, overrides) in product(SEEDS, OBJECTIVES.items()):
        record = cell(dataset, seed, overrides)
        runs.append((name, record.parent.parent))
        figures[name, "trie"].append(splits(record))
        result.write_text(table(dataset, figures))
    for name, folder in runs:
        record = call("llmrec.evaluate", [f"run={folder}", "decoding=vocab"], "record: ")
        figures[name, "vocab"].append(splits(record))
        result.write_text(table(dataset, figures))


def table(dataset: str, figures: dict[Key, list[dict]]) -> str:
    """Returns the page: mean and standard deviation over seeds by score mode, and popularity on the same users."""
    lines = [f"# SFT and MSL on {dataset}", "", f"`python experiments/sft_msl_real.py {dataset}` (scale=cpu, tiny)", ""]
    for scores in SCORES:
        lines += [f"## {scores} scores", "", "| recommender | seeds | validation NDCG@10 | test NDCG@10 | test HR@10 |"]
        lines.append("|---|---|---|---|---|")
        for name in OBJECTIVES:
            lines.append(row(name, [accuracy_of(run, None) for run in figures[name, scores]]))
        first_run = figures[next(iter(OBJECTIVES)), scores][:1]
        lines += [row("popularity baseline", [accuracy_of(run, "popularity_baseline") for run in first_run]), ""]
    return "\n".join(lines)


def accuracy_of(run: dict, part: str | None) -> dict[str, dict[str, float]]:
    """Returns accuracy by title for each split, of the model or of a named part of the record."""
    return {split: (measured[part] if part else measured)["by_title"] for split, measured in run.items()}


def row(name: str, runs: list[dict]) -> str:
    """Returns a line of the table.

    Args:
        name: Name of the recommender.
        runs: Accuracy by split for each seed; empty if nothing was run.
    """
    columns = (("valid", "ndcg@10"), ("test", "ndcg@10"), ("test", "hr@10"))
    cells = [spread([run[split][metric] for run in runs]) if runs else "not run" for split, metric in columns]
    return f"| {name} | {len(runs)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
