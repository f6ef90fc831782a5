"""Bench arm: an optimizer step of each objective, and of what it consists.

python experiments/bench/objective_costs.py [ROUNDS]

Rows of office, the shape and vocabulary of `tiny` with random weights, steps of 64 rows in micro-batches of 16, two
threads. A step builds its batches, samples responses where the objective does, runs forward and backward passes, clips
and updates. In each round all objectives take one step on the same rows, and the ratio to SFT's step is taken within
the round. What objectives prepare once (rejected titles, references, relevance) is not part of a step.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from transformers import LlamaConfig, LlamaForCausalLM
from workload import dataset_and_config, preparation

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.tiny import train_tokenizer
from llmrec.datasets.dataset import Dataset
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.base import Objective
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText
from llmrec.training.module import add

ROWS, MICRO_BATCH, ROUNDS = 64, 16, 5
OBJECTIVES = {
    "SFT": ["objective=sft"],
    "MSL": ["objective=msl"],
    "BEAR": ["objective=bear"],
    "APAO over SFT": ["objective=apao"],
    "IGD over SFT": ["objective=igd"],
    "CFT over SFT": ["objective=cft"],
    "GDRT over SFT": ["objective=gdrt"],
    "GDRT over MSL": ["objective=gdrt", "objective/token_loss=msl"],
    "DPO; also RosePO and SPRec": ["objective=dpo"],
    "S-DPO, 3 rejected": ["objective=sdpo"],
    "DMPO, 3 rejected": ["objective=dmpo"],
    "SimPO": ["objective=simpo"],
    "GRPO, groups of 16": ["objective=grpo"],
}


PARTS = ("sampling", "batches", "layers", "head and loss", "backward", "update")
Seconds = dict[str, float]
"""The seconds of each of `PARTS`, in a step."""


class Laps:
    """Adds up the seconds between calls by part."""

    def __init__(self) -> None:
        self.seconds: Seconds = dict.fromkeys(PARTS, 0.0)
        self.since = time.perf_counter()

    def end(self, part: str) -> None:
        """Counts the time since the last call for a part."""
        now = time.perf_counter()
        self.seconds[part] += now - self.since
        self.since = now


def take_step(name: str, overrides: list[str], rounds: int) -> Callable[[np.ndarray], Seconds]:
    """Prepares an objective; returns a function that takes a step over some rows and returns its seconds."""
    dataset, config = dataset_and_config(
        "office", *overrides, f"trainer.batch_size={ROWS}", f"trainer.micro_batch_size={MICRO_BATCH}",
        f"dataset.train_samples={ROWS * (rounds + 1)}", "backbone.max_length=512",
    )  # fmt: skip
    backbone, cache_dir = random_tiny(dataset, config), Path(config.paths.cache)
    objective: Objective = hydra.utils.instantiate(config.objective)
    data = NextItemData(dataset, backbone, config, cache_dir)
    data.setup_training(objective, dataset.valid.take(np.arange(8)))
    objective.prepare(preparation(backbone, data, cache_dir))
    backbone.train()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4)

    def step(rows: np.ndarray) -> Seconds:
        laps = Laps()
        if objective.samples_responses:
            objective.sample_responses(rows)
        laps.end("sampling")
        batches = data.step([rows[i : i + MICRO_BATCH] for i in range(0, ROWS, MICRO_BATCH)]).batches
        totals = add(objective.totals(batch) for batch in batches)
        laps.end("batches")
        parts = []
        for batch in batches:
            encoded = backbone.encode(batch.packed, batch.state_index)
            laps.end("layers")
            part = objective(encoded, batch, totals)
            laps.end("head and loss")
            part.loss.backward()
            laps.end("backward")
            parts.append(part.statistics)
        statistics = add(parts)
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), config.trainer.clip)
        optimizer.step()
        optimizer.zero_grad()
        objective.close_step(statistics)
        laps.end("update")
        return laps.seconds

    print(f"prepared {name}", file=sys.stderr, flush=True)
    return step


def random_tiny(dataset: Dataset, config: DictConfig) -> Backbone:
    """A Llama of the shape of `tiny` with random weights."""
    shape = config.backbone
    tokenizer = train_tokenizer(shape.vocabulary, NextItemTexts(NextItemText.of(config, dataset.items), dataset))
    torch.manual_seed(0)
    model = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=shape.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, max_position_embeddings=1_024,
        tie_word_embeddings=True,
    )  # fmt: skip
    return Backbone(LlamaForCausalLM(model), tokenizer)


def main(rounds: int) -> None:
    """Prints one JSON line: by objective the median seconds of each part and the median ratio to SFT's step."""
    torch.set_num_threads(2)
    steps = {name: take_step(name, overrides, rounds) for name, overrides in OBJECTIVES.items()}
    measured: dict[str, list[Seconds]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        rows = np.arange(ROWS) + ROWS * number
        for name, step in steps.items():
            seconds = step(rows)
            # The first round warms up.
            if number:
                measured[name].append(seconds)
    totals = {name: np.array([sum(parts.values()) for parts in laps]) for name, laps in measured.items()}
    figures = {
        name: {
            "seconds": {part: float(np.median([parts[part] for parts in laps])) for part in PARTS},
            "relative": float(np.median(totals[name] / totals["SFT"])),
        }
        for name, laps in measured.items()
    }
    print(json.dumps({"rounds": rounds, "objectives": figures}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
