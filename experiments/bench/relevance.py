"""Bench arm: GDRT's relevance pass against one epoch of SFT on games, 10,000 rows, tiny backbone.

python experiments/bench/relevance.py
"""

import json
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.relevance import title_relevance
from llmrec.conf_dir import conf_dir
from llmrec.datasets.load import load_dataset
from llmrec.datasets.steps import LengthGroupedSteps
from llmrec.decoding.open_backbone import build_backbone
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.sft import SFT
from llmrec.tasks.base import build_task

ROWS, MICRO_BATCH, STEPS = 64, 32, 4
"""Rows of a step and of a micro-batch; steps before the pass, and as many after it, whose mean makes up an epoch."""


def prepared() -> tuple[Backbone, NextItemData]:
    """The tiny backbone, hardly pretrained, which costs no less to run, and games at the published number of rows."""
    overrides = [
        "dataset=games",
        "dataset.train_samples=10000",
        "backbone.pretraining.rows=64",
        "backbone.pretraining.epochs=1",
    ]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("config", overrides)
    assert isinstance(config, DictConfig)
    cache_dir = Path(config.paths.cache)
    settings = OmegaConf.to_container(config.dataset, resolve=True)
    dataset = load_dataset(settings, Path(config.paths.data), cache_dir)
    backbone = build_backbone(config, dataset, build_task(config).pretraining(config, dataset), cache_dir)
    data = NextItemData(dataset, backbone, config, cache_dir)
    data.setup_training(SFT(), dataset.valid.take(np.arange(1)))
    return backbone, data


def main() -> None:
    """Prints one JSON line: seconds of the pass over the sample's targets, over all titles, and of an epoch."""
    backbone, data = prepared()
    objective, optimizer = SFT(), torch.optim.AdamW(backbone.parameters(), lr=1e-3)
    steps = LengthGroupedSteps(
        data.sample.prompts.lengths, ROWS, lambda _: MICRO_BATCH, seed=0, epoch=0, rank=0, ranks=1
    )
    epoch = iter(steps)
    prompt = data.history_free_prompt()

    def train() -> float:
        start = time.perf_counter()
        for step in islice(epoch, STEPS):
            batches = [data.batch(rows) for rows in step]
            totals = {"tokens": sum(objective.totals(batch)["tokens"] for batch in batches)}
            for batch in batches:
                objective(backbone.encode(batch.packed, batch.state_index), batch, totals).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return time.perf_counter() - start

    def score(titles: np.ndarray) -> float:
        start = time.perf_counter()
        title_relevance(backbone, prompt, [data.titles.of(title) for title in titles], None)
        return time.perf_counter() - start

    targets = np.unique(data.sample_titles)
    train()  # warms up; not counted
    before = train()
    seconds, catalogue = score(targets), score(np.arange(len(data.titles)))
    whole = (before + train()) / (2 * STEPS) * len(steps)
    figures = {
        "seconds": seconds, "catalogue_seconds": catalogue, "epoch_seconds": whole, "rows": len(data.sample.rows),
        "targets": len(targets), "titles": len(data.titles), "data": data.dataset.name,
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
