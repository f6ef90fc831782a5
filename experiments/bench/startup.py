"""Bench arm: processor seconds of `python -m llmrec.run scale=debug` until its first training step begins.

python experiments/bench/startup.py [SETTING ...]

Settings such as logger=csv are added to the command. The dataset is the simulation of games, and W&B is offline. With
an empty cache, the command also simulates the dataset and pretrains the tiny backbone. Processes that it starts are
counted, too. A first run, which is not counted, fills __pycache__.
"""

import gc
import json
import logging
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

COMMAND = ["llmrec.run", "scale=debug", "dataset=games", "backbone=tiny"]
IMPORTS = (
    "torch",
    "torch, transformers.modeling_utils",
    "torch, transformers.modeling_utils, pytorch_lightning",
    "llmrec.training.run_configuration",
)


def processor_seconds() -> float:
    """User and system seconds of this process, and of those that it has started, whether they run or have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(_seconds_of(process) for process in _descendants(os.getpid()))
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def _descendants(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task").glob("*/children")
    started = [int(child) for file in children for child in file.read_text().split()]
    return started + [later for child in started for later in _descendants(child)]


def _seconds_of(process: int) -> float:
    """User and system seconds of a process and of its own children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def run_to_first_step(arguments: Sequence[str]) -> None:
    """Runs a command of llmrec in this process, which prints its seconds and ends when the first step begins."""

    def report(*_: Any) -> NoReturn:
        # On a line of its own, after the progress bar.
        print("\n" + json.dumps({"seconds": round(processor_seconds(), 2), "modules": len(sys.modules)}), flush=True)
        sys.exit()

    def stop_at_first_step(_: logging.LogRecord) -> bool:
        from llmrec.training.module import Recommender

        Recommender.training_step = report  # type: ignore[method-assign]
        return True

    # Importing the class here would change the order of imports. It is imported when the training announces itself.
    logging.getLogger("llmrec.training.train").addFilter(stop_at_first_step)
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__")


def run_import(modules: str) -> None:
    """Imports modules in this process, without garbage collection as a run does, and prints its seconds."""
    gc.disable()
    exec(f"import {modules}")
    print(json.dumps({"seconds": round(processor_seconds(), 2)}))


def measure(role: str, arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """Returns what a fresh process of this script prints, whose data, cache and runs lie in a folder."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"WANDB_MODE": "offline", "LLMREC_DATA": str(folder / "data")}
    environment |= {f"LLMREC_{name.upper()}": str(folder / name) for name in ("cache", "runs")}
    command = [sys.executable, __file__, role, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def main() -> None:
    """Prints one JSON line."""
    with tempfile.TemporaryDirectory() as name:
        command = [*COMMAND, *sys.argv[1:]]
        measure("--run", command, Path(name) / "uncounted")
        imports = {modules: measure("--import", [modules], Path(name))["seconds"] for modules in IMPORTS}
        empty, filled = (measure("--run", [*command, f"seed={seed}"], Path(name) / "counted") for seed in (1, 2))
    figures = {"empty_cache": empty["seconds"], "filled_cache": filled["seconds"], "modules": filled["modules"]}
    print(json.dumps({**figures, "imports": imports}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_to_first_step(sys.argv[2:])
    elif sys.argv[1:2] == ["--import"]:
        run_import(sys.argv[2])
    else:
        main()
