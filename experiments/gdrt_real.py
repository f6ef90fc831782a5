"""Compares GDRT with its token losses on a real dataset: experiments/results/gdrt_<dataset>.md.

    LLMREC_DATA=<folder of datasets> python experiments/gdrt_real.py games
    LLMREC_DATA=<folder of datasets> python experiments/gdrt_real.py office

Uses the tiny backbone and scale=cpu. First the comparison with three seeds, then, with the first seed, GDRT's
temperatures and control groups on validation. Finished runs are read, not repeated; the file is rewritten after every
run.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import Any

from real_sets import RESULTS, call, cell, header, row, splits, spread

GDRT = {"SFT": ["objective=gdrt", "objective/token_loss=sft"], "MSL": ["objective=gdrt", "objective/token_loss=msl"]}
ARMS = {"SFT": ["objective=sft"], "GDRT(SFT)": GDRT["SFT"], "MSL": ["objective=msl"], "GDRT(MSL)": GDRT["MSL"]}
SEEDS = (1, 2, 3)
TEMPERATURES = (1, 2, 3, 10)
"""Temperatures besides the default, 5."""
GROUPS = ("position", "random")
"""Groupings besides the default, relevance."""
Figures = dict[str, list[dict[str, Any]]]
"""Name of the recommender -> results for each seed: `valid` and `test` of the record, and `diagnosis` if it was run."""


def main() -> None:
    """Makes all runs of a dataset: the comparison seed by seed, the temperatures, the control groups."""
    dataset = sys.argv[1]
    figures: Figures = defaultdict(list)
    for seed, (name, overrides) in product(SEEDS, ARMS.items()):
        figures[name].append(measure(dataset, seed, overrides, diagnosed=True))
        write(dataset, figures)
    for name, overrides in varied().items():
        figures[name].append(measure(dataset, SEEDS[0], overrides, diagnosed=False))
        write(dataset, figures)


def varied() -> dict[str, list[str]]:
    """Returns the overrides of the variants that are run with the first seed only."""
    arms = {f"GDRT({loss}), tau {tau}": [*GDRT[loss], f"objective.temperature={tau}"]
            for tau, loss in product(TEMPERATURES, GDRT)}  # fmt: skip
    controls = {f"GDRT({loss}), {groups} groups": [*GDRT[loss], f"objective.groups={groups}"]
                for groups, loss in product(GROUPS, GDRT)}  # fmt: skip
    return arms | controls


def measure(dataset: str, seed: int, overrides: Sequence[str], diagnosed: bool) -> dict[str, Any]:
    """Returns the metrics of a run on both splits and, if `diagnosed`, its diagnosis on 200 validation rows."""
    record = cell(dataset, seed, overrides)
    if not diagnosed:
        return splits(record)
    folder = call("llmrec.diagnose", [f"run={record.parent.parent}", "trainer.progress=false"], "diagnosis: ")
    return splits(record) | {"diagnosis": json.loads((folder / "diagnosis.json").read_text())}


def write(dataset: str, figures: Figures) -> None:
    """Writes the page of a dataset."""
    parts = [
        f"# GDRT on {dataset}\n\n`python experiments/gdrt_real.py {dataset}` (scale=cpu, tiny, trie scores)\n",
        comparison(figures), attribution(figures), group_losses(figures), search(figures),
    ]  # fmt: skip
    (RESULTS / f"gdrt_{dataset}.md").write_text("\n".join(parts))


def comparison(figures: Figures) -> str:
    """Returns the table of accuracy and fairness of each recommender and of the popularity baseline."""
    lines = header(
        "Accuracy and fairness", "recommender", "seeds", "validation NDCG@10", "test NDCG@10",
        "test MGU@5 (popularity)", "test MGU@5 (relevance)", "test head-20 % share", "test coverage",
    )  # fmt: skip
    for name in ARMS:
        lines.append(row(name, str(len(figures[name])), *accuracy(figures[name])))
    baseline = [{split: run[split]["popularity_baseline"] for split in ("valid", "test")} for run in figures["SFT"][:1]]
    return "\n".join([*lines, row("popularity baseline", "1", *accuracy(baseline)), ""])


def accuracy(runs: list[dict[str, Any]]) -> list[str]:
    """Returns the cells of a recommender in the comparison.

    Args:
        runs: Metrics by split, for each seed.
    """
    if not runs:
        return ["not run"] * 6
    fair = [run["test"]["fairness"] for run in runs]
    columns = [[run[split]["by_title"]["ndcg@10"] for run in runs] for split in ("valid", "test")]
    columns += [[one[groups]["mgu@5"] for one in fair] for groups in ("popularity", "relevance")]
    return [
        spread(values) for values in (*columns, *([one[key] for one in fair] for key in ("head20_share", "coverage")))
    ]


def attribution(figures: Figures) -> str:
    """Returns the table of attributions before and after tuning, on 200 validation rows, in nats per title."""
    lines = header(
        "Attribution (validation, nats per title)", "model", "task text", "generated prefix", "history",
        "auxiliary : history", "the same per token", "top 10 in the 20 % most relevant titles",
    )  # fmt: skip
    lines += [row("before tuning", *attribution_cells(figures["SFT"][:1], "before"))]
    return "\n".join([*lines, *(row(name, *attribution_cells(figures[name], "after")) for name in ARMS), ""])


def attribution_cells(runs: list[dict[str, Any]], state: str) -> list[str]:
    """Returns the cells of a model in the table of attributions."""
    found = [run["diagnosis"][state] for run in runs]
    if not found:
        return ["not run"] * 6
    sums = [[one["sum"][segment] for one in found] for segment in ("task text", "generated prefix", "history")]
    ratios = [[one["ratio"][kind] for one in found] for kind in ("sum", "per_token")]
    return [
        *(spread(values, 2) for values in (*sums, *ratios)),
        spread([one["most_relevant"]["share"] for one in found], 3),
    ]


def group_losses(figures: Figures) -> str:
    """Returns the table of mean -log P of title tokens by their relevance before tuning, on 200 validation rows."""
    title = "Loss of title tokens by their relevance (validation, -log P over the vocabulary, nats)"
    lines = header(title, "model", *(f"group {number}" for number in range(10)))
    if figures["SFT"]:
        before = figures["SFT"][0]["diagnosis"]["before"]["by_relevance"]
        lines.append(row("mean relevance", *(f"{value:.3f}" for value in before["mean_relevance"])))
        lines.append(row("before tuning", *losses(figures["SFT"][:1], "before")))
    return "\n".join([*lines, *(row(name, *losses(figures[name], "after")) for name in ARMS), ""])


def losses(runs: list[dict[str, Any]], state: str) -> list[str]:
    """Returns the ten losses of a model as means over seeds."""
    found = [run["diagnosis"][state]["by_relevance"]["loss"] for run in runs]
    return (
        [spread([one[number] for one in found], 2).split(" ")[0] for number in range(10)] if found else ["not run"] * 10
    )


def search(figures: Figures) -> str:
    """Returns the table of temperatures and control groups with the first seed, on validation only."""
    lines = header("Seed 1, validation only", "recommender", "NDCG@10", "MGU@5 (popularity)", "MGU@5 (relevance)")
    for name in [*ARMS, *varied()]:
        runs = [run["valid"] for run in figures[name][:1]]
        cells = [spread([run["by_title"]["ndcg@10"] for run in runs])] if runs else ["not run"] * 3
        cells += [
            spread([run["fairness"][groups]["mgu@5"] for run in runs]) for groups in ("popularity", "relevance") if runs
        ]
        lines.append(row(name, *cells))
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
