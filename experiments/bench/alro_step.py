"""Bench arm: one ALRO step (forward, backward, AdamW) on MovieLens-100k, Llama-3 vocabulary, LoRA, 8 lists of 10.

python experiments/bench/alro_step.py branches|sequences|sft

branches: llmrec, both orders of the candidates are branches behind instruction and history; sequences: each order a
sequence of its own, projected at the same positions only; sft: what a step costs without a second order.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor
from training_step import LORA
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
from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.examples.rerank import RerankData
from llmrec.objectives.alro import ALRO
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Batch
from llmrec.objectives.sft import SFT

WARMUP, STEPS = 1, 3


def prepared(objective: Objective) -> tuple[Backbone, RerankData]:
    """The model in training mode, and the lists."""
    dataset, config = dataset_and_config("movielens_100k", "task=rerank")
    model = add_adapter(random_llama(LLAMA3_VOCABULARY), OmegaConf.create(LORA))
    backbone = Backbone(model, llama3_tokenizer(dataset, config)).train()
    data = RerankData(dataset, backbone, config)
    data.setup_training(objective, dataset.lists["valid"].take(np.arange(BATCH)))
    return backbone, data


def shared(backbone: Backbone, batch: Batch) -> Encoded:
    """Instruction and history once for both orders."""
    return backbone.encode(batch.packed, batch.state_index)


def apart(backbone: Backbone, batch: Batch) -> Encoded:
    """One plain sequence an order."""
    backbone.uses_plain_path = True
    hidden = backbone.hidden(batch.packed, batch.state_index)
    backbone.uses_plain_path = False
    return Encoded(backbone.head, hidden)


def main(arm: str) -> None:
    """Prints one JSON line: median seconds a step, losses, the first gradient's norm, tokens, peak memory."""
    objective: Objective = SFT() if arm == "sft" else ALRO()
    backbone, data = prepared(objective)
    objective.prepare(preparation(backbone, data, Path(".")))
    encode = {"branches": shared, "sequences": apart, "sft": shared}[arm]
    batches = [data.batch(np.arange(BATCH) + BATCH * step) for step in range(WARMUP + STEPS)]
    trained = [weight for weight in backbone.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    seconds, losses, norms = [], [], []
    for batch in batches:
        start = time.perf_counter()
        loss: Tensor = objective(encode(backbone, batch), batch, objective.totals(batch)).loss
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
        norms.append(float(torch.cat([weight.grad.flatten() for weight in trained if weight.grad is not None]).norm()))
        optimizer.zero_grad()
    figures = {
        "seconds": float(np.median(seconds[WARMUP:])),
        "losses": losses,
        "gradient_norms": norms,
        "tokens": [int((batch.packed.branch >= 0).sum()) for batch in batches],
        "peak_mb": peak_megabytes(),
        "data": data.dataset.name,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
