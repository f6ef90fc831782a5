"""Bench arm: one preference step (forward, backward, AdamW) on Books with the Llama-3 vocabulary, LoRA, batch 8.

python experiments/bench/preference_step.py branches|sequences|published|trl 1|3

branches: llmrec, target and rejected titles are branches of one prompt; sequences: each title a sequence of its own,
projected at the titles' positions only; published: the same with logits of every position, as preference trainers do;
trl: TRL's DPOTrainer, its reference given too. The number is that of rejected titles: 1 = DPO, 3 = S-DPO.
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
from trainers import StepClock, settings
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
from llmrec.backbones.backbone import Backbone
from llmrec.examples.batches import build_batch
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.rejected.popularity import Popularity
from llmrec.objectives.sdpo import SDPO

WARMUP, STEPS = 1, 3


def prepared(negatives: int) -> tuple[Backbone, NextItemData, SDPO]:
    """The model in training mode, the data, and the objective: uniform rejected titles, a reference of 0."""
    dataset, config = dataset_and_config("books")
    model = add_adapter(random_llama(LLAMA3_VOCABULARY), OmegaConf.create(LORA))
    backbone = Backbone(model, llama3_tokenizer(dataset, config)).train()
    cache_dir = Path(config.paths.cache)
    data = NextItemData(dataset, backbone, config, cache_dir)
    objective = SDPO(Popularity(alpha=0.0), negatives=negatives)
    data.setup_training(objective, dataset.valid.take(np.arange(BATCH)))
    shown = preparation(backbone, data, cache_dir)
    objective.token_loss.prepare(shown)
    objective.titles = objective.rejected.sample(shown, np.arange(len(data.sample.rows)), negatives)
    # The reference's values are constants, so a step costs the same whatever they are.
    objective.reference = torch.zeros(objective.titles.shape[0], 1 + negatives)
    return backbone, data, objective


def branches(backbone: Backbone, data: NextItemData, objective: SDPO, rows: np.ndarray) -> Callable[[], Tensor]:
    """llmrec's own step."""
    batch = data.batch(rows)
    totals = objective.totals(batch)
    return lambda: objective(backbone.encode(batch.packed, batch.state_index), batch, totals).loss


def sequences(backbone: Backbone, data: NextItemData, objective: SDPO, rows: np.ndarray) -> Callable[[], Tensor]:
    """One sequence a title, logits at the titles' positions only."""
    branches = [[branch] for row in rows for branch in objective.branches(data.example(int(row)))]
    batch = build_batch(np.arange(len(branches)), branches, shared_columns=0)

    def loss() -> Tensor:
        losses, _ = objective.token_loss.checked_losses(backbone.encode(batch.packed, batch.state_index), batch)
        return of_sums(objective, -losses.new_zeros(len(branches)).index_add(0, batch.row, losses), rows)

    return loss


def published(backbone: Backbone, data: NextItemData, objective: SDPO, rows: np.ndarray) -> Callable[[], Tensor]:
    """One sequence a title, logits of every position."""
    titles, prompts = titles_of(data, objective, rows)
    responses = [data.titles.of(title) for title in titles]
    texts = [torch.from_numpy(np.concatenate(pair).astype(np.int64)) for pair in zip(prompts, responses, strict=True)]
    tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    real = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    response = torch.zeros_like(tokens)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        response[row, len(prompt) : len(text)] = 1

    def loss() -> Tensor:
        logits = backbone.model(input_ids=tokens, attention_mask=real).logits[:, :-1]
        found = logits.log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
        return of_sums(objective, (found * response[:, 1:]).sum(1), rows)

    return loss


def titles_of(data: NextItemData, objective: SDPO, rows: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """Target and rejected titles of all rows, one after another, and the prompt of each."""
    titles = [title for row in rows for title in (data.sample_titles[row], *objective.titles[row])]
    return titles, [data.sample.prompts.of(row) for row in rows for _ in range(1 + objective.negatives)]


def of_sums(objective: SDPO, log_probability: Tensor, rows: np.ndarray) -> Tensor:
    """The mean loss from log P of each title."""
    rewards = objective.beta * log_probability.view(len(rows), -1)
    return objective.losses(rewards, torch.from_numpy(rows)).mean()


def take_steps(backbone: Backbone, steps: list[Callable[[], Tensor]]) -> tuple[list[float], list[float], list[float]]:
    """Returns the seconds, the loss and the gradient's norm of each step: forward, backward, AdamW."""
    trained = [weight for weight in backbone.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    seconds, losses, norms = [], [], []
    for step in steps:
        start = time.perf_counter()
        loss = step()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
        norms.append(float(torch.cat([weight.grad.flatten() for weight in trained if weight.grad is not None]).norm()))
        optimizer.zero_grad()
    return seconds, losses, norms


def take_trl_steps(
    backbone: Backbone, data: NextItemData, objective: SDPO
) -> tuple[list[float], list[float], list[float]]:
    """Returns the same of TRL's DPOTrainer with the same tokens and a reference of 0."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class GivenTokens(DPOTrainer):
        """Takes the rows as they are: tokenized, with the reference's log-probabilities."""

        def _prepare_dataset(self, dataset: Dataset, *_: object) -> Dataset:
            return dataset

        def _precompute_ref_logps(self, dataset: Dataset, *_: object) -> Dataset:
            return dataset

    titles, prompts = titles_of(data, objective, np.arange(BATCH * (WARMUP + STEPS)))
    rows = [
        {
            "prompt_ids": prompt.tolist(), "chosen_ids": data.titles.of(chosen).tolist(),
            "rejected_ids": data.titles.of(rejected).tolist(), "ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0,
        }
        for prompt, chosen, rejected in zip(prompts[::2], titles[::2], titles[1::2], strict=True)
    ]  # fmt: skip
    clock = StepClock()
    arguments = DPOConfig(
        **settings(BATCH, WARMUP + STEPS), beta=objective.beta, precompute_ref_log_probs=True, max_length=None
    )
    trainer = GivenTokens(
        backbone.model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=backbone.tokenizer,
        callbacks=[clock],
    )  # fmt: skip
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    return clock.seconds, [entry["loss"] for entry in logged], [entry["grad_norm"] for entry in logged]


def main(arm: str, negatives: int) -> None:
    """Prints one JSON line: median seconds a step, losses, the first gradient's norm, peak memory and its growth."""
    backbone, data, objective = prepared(negatives)
    loaded = peak_megabytes()
    if arm == "trl":
        seconds, losses, norms = take_trl_steps(backbone, data, objective)
    else:
        way = {"branches": branches, "sequences": sequences, "published": published}[arm]
        rows = [np.arange(BATCH) + BATCH * step for step in range(WARMUP + STEPS)]
        seconds, losses, norms = take_steps(backbone, [way(backbone, data, objective, batch) for batch in rows])
    figures = {
        "seconds": float(np.median(seconds[WARMUP:])),
        "losses": losses,
        "gradient_norms": norms,
        "peak_mb": peak_megabytes(),
        "growth_mb": peak_megabytes() - loaded,
        "data": data.dataset.name,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
