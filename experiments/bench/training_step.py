"""Bench arm: one MSL or SFT step (forward, backward, AdamW) on Books with the Llama-3 vocabulary, batch 8.

python experiments/bench/training_step.py ours|published|sft|trainer|floor lora|full

ours, published: MSL; sft: llmrec's SFT; trainer: SFT with Hugging Face's Trainer; floor: a plain forward and backward
pass of the fewest tokens that MSL needs, row by row without padding and without a head.
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
from trainers import StepClock, settings
from transformers import Trainer, TrainingArguments
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
from llmrec.objectives.base import TokenLoss
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT

TAU, WARMUP, STEPS = 1.5, 1, 3
LORA = {"name": "lora", "eight_bit": False, "rank": 8, "alpha": 16, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}


def prepared(adapter: str, objective: TokenLoss) -> tuple[Backbone, NextItemData]:
    """The model in training mode, the data with its positions chosen; the objective is given its trie."""
    dataset, config = dataset_and_config("books")
    model = add_adapter(
        random_llama(LLAMA3_VOCABULARY), OmegaConf.create(LORA if adapter == "lora" else {"name": "none"})
    )
    backbone = Backbone(model, llama3_tokenizer(dataset, config)).train()
    cache_dir = Path(config.paths.cache)
    data = NextItemData(dataset, backbone, config, cache_dir)
    objective.prepare(preparation(backbone, data, cache_dir))
    data.setup_training(objective, dataset.valid.take(np.arange(BATCH)))
    return backbone, data


def ours(backbone: Backbone, data: NextItemData, objective: TokenLoss, rows: np.ndarray) -> Callable[[], Tensor]:
    """llmrec; for MSL logits of valid tokens at branching positions only, nothing fed after the last of them."""
    batch = data.batch(rows)
    totals = objective.totals(batch)
    return lambda: objective(backbone.encode(batch.packed, batch.state_index), batch, totals).loss


def published(backbone: Backbone, data: NextItemData, _: TokenLoss, rows: np.ndarray) -> Callable[[], Tensor]:
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


def floor(backbone: Backbone, data: NextItemData, _: TokenLoss, rows: np.ndarray) -> Callable[[], Tensor]:
    """A plain pass over what all prompts share, once, and over the rest of each row; the sum of the hidden states."""
    packed = data.batch(rows).packed
    shared = packed.shared_columns
    rows_alone = [row[branch >= 0][None, shared:] for row, branch in zip(packed.tokens, packed.branch, strict=True)]
    texts = [packed.tokens[:1, :shared], *rows_alone]
    decoder = backbone.causal_lm.get_decoder()

    def loss() -> Tensor:
        for text in texts[:-1]:
            decoder(input_ids=text, use_cache=False).last_hidden_state.sum().backward()
        return decoder(input_ids=texts[-1], use_cache=False).last_hidden_state.sum()

    return loss


def take_steps(backbone: Backbone, steps: list[Callable[[], Tensor]]) -> tuple[list[float], list[float]]:
    """Returns the seconds and the loss of each step: forward, backward, AdamW."""
    optimizer = torch.optim.AdamW([weight for weight in backbone.parameters() if weight.requires_grad], lr=1e-4)
    seconds, losses = [], []
    for step in steps:
        start = time.perf_counter()
        loss = step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return seconds, losses


def take_trainer_steps(backbone: Backbone, data: NextItemData) -> tuple[list[float], list[float]]:
    """Returns the seconds and the loss of each step of Hugging Face's Trainer."""
    rows = []
    for row in range(BATCH * (WARMUP + STEPS)):
        prompt, title = data.sample.prompts.of(row).tolist(), data.titles.of(data.sample_titles[row]).tolist()
        rows.append({"input_ids": prompt + title, "labels": [-100] * len(prompt) + title})
    clock = StepClock()
    trainer = Trainer(
        backbone.model, TrainingArguments(**settings(BATCH, WARMUP + STEPS), remove_unused_columns=False),
        data_collator=padded, train_dataset=rows, callbacks=[clock],
    )  # fmt: skip
    trainer.train()
    return clock.seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def padded(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    """Returns a batch of the Trainer."""
    columns = {
        key: torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row[key]) for row in rows], batch_first=True, padding_value=padding
        )
        for key, padding in (("input_ids", 0), ("labels", -100))
    }
    real = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row["labels"])) for row in rows], batch_first=True)
    return columns | {"attention_mask": real.long()}


def main(arm: str, adapter: str) -> None:
    """Prints one JSON line: median seconds a step, the losses, peak memory and its growth."""
    objective = SFT() if arm in ("sft", "trainer") else MSL(temperature=TAU)
    backbone, data = prepared(adapter, objective)
    loaded = peak_megabytes()
    if arm == "trainer":
        seconds, losses = take_trainer_steps(backbone, data)
    else:
        way = {"ours": ours, "sft": ours, "published": published, "floor": floor}[arm]
        rows = [np.arange(BATCH) + BATCH * step for step in range(WARMUP + STEPS)]
        seconds, losses = take_steps(backbone, [way(backbone, data, objective, batch) for batch in rows])
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
