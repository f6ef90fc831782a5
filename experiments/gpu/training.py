"""GPU check, stage training: seconds a step of each objective on the shape of Llama-3.2-1B, bf16, LoRA.

python experiments/gpu/training.py [objective ...]      # gdrt rosepo alro msl sft by default

Random weights, rows of Books (ALRO: lists of MovieLens-100K), the Llama-3 tokenizer, steps of 128 rows. Arms: micro-
batches of 8, of 32 and as many as `auto` takes; with and without gradient checkpointing; and for SFT and MSL the
published way (full logits, a dense mask of valid tokens). MFU = 4 N x least tokens / seconds of the whole step / 989
TFLOP/s: N the weights of the layers, 4 since LoRA's frozen weights have no gradient; least tokens: the shared prompt
once a step, no padding, nothing recomputed.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from shapes import DEVICE, OUT, SMALL, keep, layer_parameters, peak_gib, random_backbone, synchronize
from torch.nn import functional
from workload import dataset_and_config, llama3_tokenizer, preparation

from llmrec.backbones.backbone import Backbone
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData
from llmrec.objectives.base import Objective
from llmrec.training.memory import fit_into_memory
from llmrec.training.module import add

OBJECTIVES = ("gdrt", "rosepo", "alro", "msl", "sft")
ROWS, WARMUP, STEPS = (16, 1, 2) if SMALL else (128, 1, 3)
PEAK_TFLOPS = 989
"""bf16 products of an H100 or H200, dense, by the data sheet."""
Data = NextItemData | RerankData
Step = Callable[[np.ndarray], float]
"""Takes one optimizer step over some rows; returns the loss."""


def prepared(name: str) -> tuple[Backbone, Data, Objective]:
    """A model, the data and an objective that has looked at both; preference objectives get random rejected titles."""
    task = ["task=rerank"] if name == "alro" else []
    rejected = ["objective/rejected=uniform"] if name == "rosepo" else []
    dataset, config = dataset_and_config(
        "movielens_100k" if task else "books", f"objective={name}", "trainer.micro_batch_size=auto",
        f"trainer.batch_size={ROWS}", f"dataset.train_samples={ROWS * (WARMUP + STEPS)}", *task, *rejected,
    )  # fmt: skip
    config.backbone.gradient_checkpointing = False
    backbone = random_backbone(llama3_tokenizer(dataset, config), adapted=True).train()
    objective: Objective = hydra.utils.instantiate(config.objective).to(DEVICE)
    cache_dir = Path(config.paths.cache)
    data: Data
    if task:
        data = RerankData(dataset, backbone, config)
        data.setup_training(objective, dataset.lists["valid"].take(np.arange(8)))
    else:
        data = NextItemData(dataset, backbone, config, cache_dir)
        data.setup_training(objective, dataset.valid.take(np.arange(8)))
    _prepare(objective, backbone, data, cache_dir)
    return backbone.train(), data, objective


def _prepare(objective: Objective, backbone: Backbone, data: Data, cache_dir: Path) -> None:
    shown = replace(preparation(backbone, data, cache_dir), trie=data.trie.to(DEVICE))
    if not hasattr(objective, "oracle"):
        objective.prepare(shown)
        return
    # Its passes before the training are not what is timed here.
    rows = len(data.sample_prompts)
    objective.token_loss.prepare(shown)
    objective.titles = np.random.default_rng(0).integers(0, len(data.titles), (rows, 1))
    objective.reference = torch.zeros((rows, 2), device=DEVICE)
    objective.eps = torch.full((rows,), 0.1, device=DEVICE)


def ours(backbone: Backbone, data: Data, objective: Objective, micro: int | None) -> Step:
    """llmrec's step; micro: rows of a micro-batch, None = as auto chooses."""
    optimizer = torch.optim.AdamW(trained(backbone), lr=1e-4)

    def step(rows: np.ndarray) -> float:
        size = micro or data.micro_batch_rows(rows)
        batches = [data.batch(rows[i : i + size]) for i in range(0, len(rows), size)]
        moved = [batch.to(DEVICE) for batch in batches]
        totals = add(objective.totals(batch) for batch in moved)
        parts = []
        for batch in moved:
            part = objective(backbone.encode(batch.packed, batch.state_index), batch, totals)
            part.loss.backward()
            parts.append(part.statistics | {"loss": part.loss.detach().double()})
        statistics = add(parts)
        loss = float(statistics.pop("loss"))
        float(torch.nn.utils.clip_grad_norm_(trained(backbone), 1.0))
        optimizer.step()
        optimizer.zero_grad()
        objective.close_step(statistics)
        return loss

    return step


def published(backbone: Backbone, data: NextItemData, masked: bool) -> Step:
    """The published way: logits of every position; with `masked` a mask [response tokens, vocabulary] (MSL)."""
    optimizer = torch.optim.AdamW(trained(backbone), lr=1e-4)

    def step(rows: np.ndarray) -> float:
        total = 0.0
        for part in (rows[i : i + 8] for i in range(0, len(rows), 8)):
            with torch.autocast(DEVICE.type, torch.bfloat16):
                loss = _published_loss(backbone, data, part, masked) * len(part) / len(rows)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(trained(backbone), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return total

    return step


def _published_loss(backbone: Backbone, data: NextItemData, rows: np.ndarray, masked: bool) -> torch.Tensor:
    prompts, titles = [data.sample.prompts.of(row) for row in rows], data.sample_titles[rows]
    texts = [
        torch.from_numpy(np.concatenate([prompt, data.titles.of(title)]).astype(np.int64))
        for prompt, title in zip(prompts, titles, strict=True)
    ]
    tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    real, response = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        real[row, : len(text)] = 1
        response[row, len(prompt) : len(text)] = True
    target = tokens[response].to(DEVICE)
    logits = backbone.model(input_ids=tokens.to(DEVICE), attention_mask=real.to(DEVICE)).logits[:, :-1].float()
    chosen = logits[response[:, 1:].to(DEVICE)]
    if masked:
        offsets = data.titles.offsets
        nodes = np.concatenate([data.path[offsets[title] : offsets[title + 1]] for title in titles])
        owner, edge = data.trie.children(torch.from_numpy(nodes).long())
        valid = torch.zeros(chosen.shape, dtype=torch.bool)
        valid[owner, data.trie.edge_token[edge].long()] = True
        chosen = chosen.masked_fill(~valid.to(DEVICE), float("-inf"))
    return functional.cross_entropy(chosen, target)


def trained(backbone: Backbone) -> list[torch.nn.Parameter]:
    """The weights that are trained."""
    return [weight for weight in backbone.parameters() if weight.requires_grad]


def least_tokens(data: Data, rows: np.ndarray) -> int:
    """Tokens that a step over some rows must compute: those of each row, what all share once, no padding."""
    shared = len(data.sample_prompts.shared_prefix())
    branch = data.batch(rows).packed.branch
    return int((branch >= 0).sum()) - shared * (len(rows) - 1)


def measure(step: Step, data: Data, rows: np.ndarray, parameters: int) -> dict[str, Any]:
    """Seconds of the median step, tokens/s, MFU, peak memory, the last loss."""
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds, tokens, loss = [], 0, 0.0
    for number, part in enumerate(np.split(rows, WARMUP + STEPS)):
        synchronize()
        started = time.perf_counter()
        loss = step(part)
        synchronize()
        if number >= WARMUP:
            seconds.append(time.perf_counter() - started)
            tokens += least_tokens(data, part)
    median, each = float(np.median(seconds)), tokens / STEPS
    return {
        "step_s": median,
        "rows_s": ROWS / median,
        "least_tokens_s": each / median,
        "mfu": 4 * parameters * each / median / (PEAK_TFLOPS * 1e12),
        "peak_gib": peak_gib(),
        "loss": loss,
    }


def arms(backbone: Backbone, data: Data, objective: Objective, name: str) -> Iterator[tuple[dict[str, Any], Step]]:
    """What is measured of an objective: the arm's description and its step."""
    for micro in (None, 32, 8):
        said = micro or f"auto ({data.micro_batch_rows(np.arange(ROWS))})"
        yield {"checkpointing": False, "micro": said}, ours(backbone, data, objective, micro)
    if name in ("sft", "msl"):
        assert isinstance(data, NextItemData)
        yield {"published": True, "micro": 8}, published(backbone, data, masked=name == "msl")
    # Without shared columns single branches need no mask, so that attention takes the flash kernel.
    data.checkpointing = True
    yield {"checkpointing": False, "micro": "auto", "shared_columns": False}, ours(backbone, data, objective, None)
    backbone.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    yield {"checkpointing": True, "micro": "auto"}, ours(backbone, data, objective, None)


def main(names: list[str]) -> None:
    """Measures the objectives, one after another."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in names or OBJECTIVES:
        backbone, data, objective = prepared(name)
        fit_into_memory(backbone, data)
        rows = np.argsort(-data.sample_prompts.lengths, kind="stable")[: ROWS * (WARMUP + STEPS)]
        rows = rows[: len(rows) // (WARMUP + STEPS) * (WARMUP + STEPS)]
        for said, step in arms(backbone, data, objective, name):
            try:
                found = measure(step, data, rows, layer_parameters(backbone))
            except torch.OutOfMemoryError:
                found = {"out_of_memory": True}
            keep("training", {"objective": name, **said, **found})


if __name__ == "__main__":
    main(sys.argv[1:])
