"""GDRT against the token loss underneath on a real set, tiny backbone, scale=cpu: experiments/results/gdrt_<set>.md.

    LLMREC_DATA=<folder of real sets> python experiments/gdrt_real.py games
    LLMREC_DATA=<folder of real sets> python experiments/gdrt_real.py office

The comparison with three seeds first, then, with the first seed, GDRT's temperature on validation and the controls of
its groups. Finished cells are read, not run again; the tables are written anew after every cell.
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
"""Beside the default, 5."""
GROUPS = ("position", "random")
"""Beside the default, relevance."""
Figures = dict[str, list[dict[str, Any]]]
"""Name of an arm -> what was measured with each seed: valid and test of the record, the diagnosis where it was made."""


def main() -> None:
    """Every cell of a set: the comparison seed by seed, the temperatures, the controls."""
    dataset = sys.argv[1]
    figures: Figures = defaultdict(list)
    for seed, (name, overrides) in product(SEEDS, ARMS.items()):
        figures[name].append(measure(dataset, seed, overrides, diagnosed=True))
        write(dataset, figures)
    for name, overrides in varied().items():
        figures[name].append(measure(dataset, SEEDS[0], overrides, diagnosed=False))
        write(dataset, figures)


def varied() -> dict[str, list[str]]:
    """The arms that are run with the first seed only."""
    arms = {f"GDRT({loss}), tau {tau}": [*GDRT[loss], f"objective.temperature={tau}"]
            for tau, loss in product(TEMPERATURES, GDRT)}  # fmt: skip
    controls = {f"GDRT({loss}), {groups} groups": [*GDRT[loss], f"objective.groups={groups}"]
                for groups, loss in product(GROUPS, GDRT)}  # fmt: skip
    return arms | controls


def measure(dataset: str, seed: int, overrides: Sequence[str], diagnosed: bool) -> dict[str, Any]:
    """What the record of a cell says of both splits, and its diagnosis on 200 rows of validation."""
    record = cell(dataset, seed, overrides)
    if not diagnosed:
        return splits(record)
    folder = call("llmrec.diagnose", [f"run={record.parent.parent}", "trainer.progress=false"], "diagnosis: ")
    return splits(record) | {"diagnosis": json.loads((folder / "diagnosis.json").read_text())}


def write(dataset: str, figures: Figures) -> None:
    """The page of a set."""
    parts = [
        f"# GDRT on {dataset}\n\n`python experiments/gdrt_real.py {dataset}` (scale=cpu, tiny, trie scores)\n",
        comparison(figures), attribution(figures), group_losses(figures), search(figures),
    ]  # fmt: skip
    (RESULTS / f"gdrt_{dataset}.md").write_text("\n".join(parts))


def comparison(figures: Figures) -> str:
    """Accuracy and fairness of each arm and of the popularity floor."""
    lines = header(
        "Accuracy and fairness", "recommender", "seeds", "validation NDCG@10", "test NDCG@10",
        "test MGU@5 (popularity)", "test MGU@5 (relevance)", "test head-20 % share", "test coverage",
    )  # fmt: skip
    for name in ARMS:
        lines.append(row(name, str(len(figures[name])), *accuracy(figures[name])))
    floor = [{split: run[split]["popularity_floor"] for split in ("valid", "test")} for run in figures["SFT"][:1]]
    return "\n".join([*lines, row("popularity floor", "1", *accuracy(floor)), ""])


def accuracy(runs: list[dict[str, Any]]) -> list[str]:
    """The cells of an arm in the comparison; runs: by split."""
    if not runs:
        return ["not run"] * 6
    fair = [run["test"]["fairness"] for run in runs]
    columns = [[run[split]["by_title"]["ndcg@10"] for run in runs] for split in ("valid", "test")]
    columns += [[one[groups]["mgu@5"] for one in fair] for groups in ("popularity", "relevance")]
    return [
        spread(values) for values in (*columns, *([one[key] for one in fair] for key in ("head20_share", "coverage")))
    ]


def attribution(figures: Figures) -> str:
    """What the model leans on before tuning and after it, 200 rows of validation, in nats a title."""
    lines = header(
        "Attribution (validation, nats a title)", "model", "task text", "generated prefix", "history",
        "auxiliary : history", "the same per token", "top 10 in the 20 % most relevant titles",
    )  # fmt: skip
    lines += [row("before tuning", *leaning(figures["SFT"][:1], "before"))]
    return "\n".join([*lines, *(row(name, *leaning(figures[name], "after")) for name in ARMS), ""])


def leaning(runs: list[dict[str, Any]], state: str) -> list[str]:
    """The cells of a model in the table of attributions."""
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
    """Mean -log P of title tokens by relevance before tuning, 200 rows of validation, all seeds."""
    title = "Loss of title tokens by their relevance (validation, -log P over the vocabulary, nats)"
    lines = header(title, "model", *(f"group {number}" for number in range(10)))
    if figures["SFT"]:
        before = figures["SFT"][0]["diagnosis"]["before"]["by_relevance"]
        lines.append(row("mean relevance", *(f"{value:.3f}" for value in before["mean_relevance"])))
        lines.append(row("before tuning", *losses(figures["SFT"][:1], "before")))
    return "\n".join([*lines, *(row(name, *losses(figures[name], "after")) for name in ARMS), ""])


def losses(runs: list[dict[str, Any]], state: str) -> list[str]:
    """The ten losses of a model, means over seeds."""
    found = [run["diagnosis"][state]["by_relevance"]["loss"] for run in runs]
    return (
        [spread([one[number] for one in found], 2).split(" ")[0] for number in range(10)] if found else ["not run"] * 10
    )


def search(figures: Figures) -> str:
    """Temperatures and controls with the first seed, on validation alone."""
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
