"""SFT against MSL on real sets, tiny backbone, scale=cpu: the table in experiments/results/sft_msl_real.md.

    LLMREC_DATA=<folder of real sets> python experiments/sft_msl_real.py

Finished cells are read, not run again. Each set has a lane of its own; the table is written anew after every cell.
"""

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

DATASETS = ("games", "office")
OBJECTIVES = {
    "SFT": ["objective=sft"],
    "MSL, ATS": ["objective=msl"],
    "MSL, tau 1": ["objective=msl", "objective.temperature=1"],
}
SEEDS = (1, 2, 3)
SCORES = ("trie", "vocab")
RESULT = Path(__file__).parent / "results" / "sft_msl_real.md"
Key = tuple[str, str, str]
figures: dict[Key, list[dict]] = defaultdict(list)
lock = Lock()


def main() -> None:
    """Runs the lanes side by side."""
    with ThreadPoolExecutor(len(DATASETS)) as lanes:
        for lane in [lanes.submit(run_lane, dataset) for dataset in DATASETS]:
            lane.result()


def run_lane(dataset: str) -> None:
    """Every cell of a set, seed by seed, so that an early table compares all objectives; then its other decoding."""
    cells: list[tuple[str, Path]] = []
    for seed in SEEDS:
        for name, overrides in OBJECTIVES.items():
            arguments = [*overrides, f"dataset={dataset}", "dataset.source=real", "scale=cpu", f"seed={seed}"]
            record = call("llmrec.run", [*arguments, "logger=csv", "trainer.progress=false"])
            keep((dataset, name, "trie"), record)
            cells.append((name, record.parent.parent))
    for name, cell in cells:
        keep((dataset, name, "vocab"), call("llmrec.evaluate", [f"run={cell}", "decoding=vocab"]))


def keep(key: Key, record: Path) -> None:
    """Adds a record's figures and writes the table anew."""
    with lock:
        figures[key].append(json.loads((record / "metrics.json").read_text())["splits"])
        RESULT.write_text(table())
    print(*key, record, flush=True)


def call(module: str, arguments: list[str]) -> Path:
    """Runs a command of llmrec and returns the folder of the record that it names."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // len(DATASETS)))}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    line = next(line for line in done.stdout.splitlines() if line.startswith("record: "))
    return Path(line.removeprefix("record: "))


def table() -> str:
    """Mean and standard deviation over seeds, the two score modes apart, the popularity floor on the same users."""
    lines = [__doc__.strip(), ""]
    for scores in SCORES:
        lines += [
            f"## {scores} scores",
            "",
            "| set | recommender | seeds | validation NDCG@10 | test NDCG@10 | test HR@10 |",
        ]
        lines.append("|---|---|---|---|---|---|")
        for dataset in DATASETS:
            for name in OBJECTIVES:
                runs = [{split: run[split]["by_title"] for split in run} for run in figures[dataset, name, scores]]
                lines += [row(dataset, name, runs)] if runs else []
            first = figures[dataset, next(iter(OBJECTIVES)), scores][:1]
            floor = [{split: run[split]["popularity_floor"]["by_title"] for split in run} for run in first]
            lines += [row(dataset, "popularity floor", floor)] if floor else []
        lines.append("")
    return "\n".join(lines)


def row(dataset: str, name: str, runs: list[dict]) -> str:
    """One line of the table; runs: accuracy by split of each seed."""
    columns = (("valid", "ndcg@10"), ("test", "ndcg@10"), ("test", "hr@10"))
    cells = [spread([run[split][metric] for run in runs]) for split, metric in columns]
    return f"| {dataset} | {name} | {len(runs)} | {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Mean and, of several values, their standard deviation."""
    mean = statistics.mean(values)
    return f"{mean:.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
