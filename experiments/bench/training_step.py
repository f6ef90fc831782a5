"""Bench arm: one MSL training step (forward, backward, AdamW) on Books with the Llama-3 vocabulary, batch 8.

python experiments/bench/training_step.py ours|published lora|full

lora: rank 8 on q_proj and v_proj as in the paper (dropout 0, so that losses compare); full: all weights.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional
from workload import (
    BATCH,
    LLAMA3_VOCABULARY,
    dataset_and_config,
    llama3_tokenizer,
    peak_megabytes,
    preparation,
    random_llama,
)

from llmrec.backbones.adapters import add_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.msl import MSL

TAU, WARMUP, STEPS = 1.5, 1, 3
LORA = {"name": "lora", "eight_bit": False, "rank": 8, "alpha": 16, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}


def prepared(adapter: str) -> tuple[Backbone, NextItemData, MSL]:
    """The model in training mode, the data with its positions chosen, the objective with its trie."""
    dataset, config = dataset_and_config("books")
    model = add_adapter(
        random_llama(LLAMA3_VOCABULARY), OmegaConf.create(LORA if adapter == "lora" else {"name": "none"})
    )
    backbone = Backbone(model, llama3_tokenizer(dataset, config)).train()
    cache_dir = Path(config.paths.cache)
    data = NextItemData(dataset, backbone, config, cache_dir)
    objective = MSL(temperature=TAU)
    objective.prepare(preparation(backbone, data, cache_dir))
    data.setup_training(objective, dataset.valid.take(np.arange(BATCH)))
    return backbone, data, objective


def ours(backbone: Backbone, data: NextItemData, objective: MSL, rows: np.ndarray) -> Callable[[], Tensor]:
    """llmrec: logits of valid tokens at branching positions only, nothing fed after the last of them."""
    batch = data.batch(rows)
    totals = objective.totals(batch)
    return lambda: objective(backbone.encode(batch.packed, batch.state_index), batch, totals).loss


def published(backbone: Backbone, data: NextItemData, _: MSL, rows: np.ndarray) -> Callable[[], Tensor]:
    """The published way: logits [rows, length, vocabulary], a mask [response tokens, vocabulary], masked softmax."""
    prompts = [data.sample.prompts.of(row) for row in rows]
    titles = data.sample_titles[rows]
    responses = [data.titles.of(title) for title in titles]
    texts = [torch.from_numpy(np.concatenate(pair).astype(np.int64)) for pair in zip(prompts, responses, strict=True)]
    tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    real = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    response = torch.zeros_like(tokens, dtype=torch.bool)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        response[row, len(prompt) : len(text)] = True
    offsets = data.titles.offsets
    nodes = torch.from_numpy(
        np.concatenate([data.path[offsets[title] : offsets[title + 1]] for title in titles])
    ).long()
    owner, edge = data.trie.children(nodes)

    def loss() -> Tensor:
        logits = backbone.model(input_ids=tokens, attention_mask=real).logits[:, :-1]
        valid = torch.zeros(len(nodes), logits.shape[-1], dtype=torch.bool)
        valid[owner, data.trie.edge_token[edge].long()] = True
        masked = (logits[response[:, 1:]] / TAU).masked_fill(~valid, float("-inf"))
        losses = TAU * functional.cross_entropy(masked, tokens[response], reduction="none")
        return losses[valid.sum(1) > 1].mean()

    return loss


def main(arm: str, adapter: str) -> None:
    """Prints one JSON line: median seconds a step, the loss of the first step, peak memory and its growth."""
    backbone, data, objective = prepared(adapter)
    way = ours if arm == "ours" else published
    steps = [way(backbone, data, objective, np.arange(BATCH) + BATCH * step) for step in range(WARMUP + STEPS)]
    optimizer = torch.optim.AdamW([weight for weight in backbone.parameters() if weight.requires_grad], lr=1e-4)
    loaded, seconds, losses = peak_megabytes(), [], []
    for step in steps:
        start = time.perf_counter()
        loss = step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    figures = {
        "seconds": float(np.median(seconds[WARMUP:])),
        "losses": losses,
        "peak_mb": peak_megabytes(),
        "growth_mb": peak_megabytes() - loaded,
        "data": data.dataset.name,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
