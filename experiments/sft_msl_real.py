"""SFT against MSL on a real set, tiny backbone, scale=cpu: the table experiments/results/sft_msl_<set>.md.

    LLMREC_DATA=<folder of real sets> python experiments/sft_msl_real.py games
    LLMREC_DATA=<folder of real sets> python experiments/sft_msl_real.py office

Finished cells are read, not run again; the table is written anew after every cell.
"""

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

OBJECTIVES = {
    "SFT": ["objective=sft"],
    "MSL, ATS": ["objective=msl"],
    "MSL, tau 1": ["objective=msl", "objective.temperature=1"],
}
SEEDS = (1, 2, 3)
SCORES = ("trie", "vocab")
THREADS = {"OMP_NUM_THREADS": "1"}
"""Of each command: the figures of a cell do not depend on what else the machine does."""
Key = tuple[str, str]
"""Objective and score mode."""


def main() -> None:
    """Every cell of a set, seed by seed, so that an early table compares all objectives; then its other decoding."""
    dataset = sys.argv[1]
    result = Path(__file__).parent / "results" / f"sft_msl_{dataset}.md"
    result.parent.mkdir(exist_ok=True)
    figures: dict[Key, list[dict]] = defaultdict(list)
    cells: list[tuple[str, Path]] = []
    for seed, (name, overrides) in product(SEEDS, OBJECTIVES.items()):
        settings = [f"dataset={dataset}", "dataset.source=real", "scale=cpu", f"seed={seed}"]
        record = call("llmrec.run", [*overrides, *settings, "logger=csv", "trainer.progress=false"])
        cells.append((name, record.parent.parent))
        figures[name, "trie"].append(splits(record))
        result.write_text(table(dataset, figures))
    for name, cell in cells:
        record = call("llmrec.evaluate", [f"run={cell}", "decoding=vocab"])
        figures[name, "vocab"].append(splits(record))
        result.write_text(table(dataset, figures))


def call(module: str, arguments: list[str]) -> Path:
    """Runs a command of llmrec and returns the folder of the record that it names."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | THREADS)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("record: "))
    print(*arguments[:5], line, flush=True)
    return Path(line.removeprefix("record: "))


def splits(record: Path) -> dict:
    """The metrics of a record, by split."""
    return json.loads((record / "metrics.json").read_text())["splits"]


def table(dataset: str, figures: dict[Key, list[dict]]) -> str:
    """Mean and standard deviation over seeds, the two score modes apart, the popularity floor on the same users."""
    lines = [f"# SFT and MSL on {dataset}", "", f"`python experiments/sft_msl_real.py {dataset}` (scale=cpu, tiny)", ""]
    for scores in SCORES:
        lines += [f"## {scores} scores", "", "| recommender | seeds | validation NDCG@10 | test NDCG@10 | test HR@10 |"]
        lines.append("|---|---|---|---|---|")
        for name in OBJECTIVES:
            lines.append(row(name, [accuracy_of(run, None) for run in figures[name, scores]]))
        floor = figures[next(iter(OBJECTIVES)), scores][:1]
        lines += [row("popularity floor", [accuracy_of(run, "popularity_floor") for run in floor]), ""]
    return "\n".join(lines)


def accuracy_of(run: dict, part: str | None) -> dict[str, dict[str, float]]:
    """Accuracy by title of each split, of the model or of a named part of the record."""
    return {split: (measured[part] if part else measured)["by_title"] for split, measured in run.items()}


def row(name: str, runs: list[dict]) -> str:
    """One line of the table; runs: accuracy by split of each seed, empty where nothing was run."""
    columns = (("valid", "ndcg@10"), ("test", "ndcg@10"), ("test", "hr@10"))
    cells = [spread([run[split][metric] for run in runs]) if runs else "not run" for split, metric in columns]
    return f"| {name} | {len(runs)} | {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = statistics.mean(values)
    return f"{mean:.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
