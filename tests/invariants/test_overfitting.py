"""Every objective in conf/objective, those to come included, fits 32 training rows by heart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.datasets.dataset import Rows
from llmrec.objectives.batch import Batch
from llmrec.objectives.msl import MSL
from llmrec.objectives.preference import Preference
from llmrec.tasks.catalogue_validation import validate_titles
from llmrec.tasks.list_validation import validate_lists
from tests.datasets.layouts import CONF, rows
from tests.invariants.world import TITLES, World, build_world, micro_batches, task_of

CHANGES = {"rosepo": ("objective.oracle.folds=1",), "grpo": ("objective.group=11",)}
"""With cross-fitting, pairs of random targets have eps near .5, whose optimum prefers neither title.

With groups of all eleven titles, every group has the target.
"""
OBJECTIVES = [(path.stem, *CHANGES.get(path.stem, ())) for path in sorted((CONF / "objective").glob("*.yaml"))]
RERANK = [("sft", "task=rerank"), ("msl", "task=rerank"), ("bear", "task=rerank")]
COUNT, EVERY, MAX_STEPS = 32, 20, 600


def different_rows() -> Rows:
    """Rows with different histories of two titles and random targets outside of them."""
    rng = np.random.default_rng(0)
    # Items 9 and 10 share a title.
    items = [item for item in range(len(TITLES)) if item != 10]
    pairs = [(first, second) for first in items for second in items if first != second]
    chosen = [pairs[number] for number in rng.permutation(len(pairs))[:COUNT]]
    targets = [int(rng.choice([item for item in items if item not in pair])) for pair in chosen]
    return rows(
        *((f"u{n}", list(pair), target, n) for n, (pair, target) in enumerate(zip(chosen, targets, strict=True)))
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", [*OBJECTIVES, *RERANK], ids=" ".join)
def test_it_fits_32_rows(case: tuple[str, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    world = build_world(case, tmp_path, sample=different_rows())
    (batch,) = micro_batches(world, list(range(COUNT)))
    before = target_log_probabilities(world) if world.objective.samples_responses else torch.zeros(COUNT)
    optimizer = torch.optim.AdamW(world.backbone.parameters(), lr=1e-2, weight_decay=0.0)
    reached = 0.0
    for step in range(1, MAX_STEPS + 1):
        train(world, batch, optimizer)
        if step % EVERY == 0 and (reached := fitted(world, case, batch, before)) == 1:
            return
    assert reached == 1


def train(world: World, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    world.backbone.train()
    totals = world.objective.totals(batch)
    part = world.objective(world.backbone.encode(batch.packed, batch.state_index), batch, totals)
    (part.loss / world.objective.divisor(part.statistics)).backward()
    optimizer.step()
    optimizer.zero_grad()
    world.objective.close_step(dict(part.statistics))


def fitted(world: World, case: tuple[str, ...], batch: Batch, before: Tensor) -> float:
    """The share of rows whose target is ranked first.

    Of reinforcement learning, whose optimum also depends on the KL penalty, the share of rows whose target has become
    more probable.

    Preferences say nothing about titles that were not sampled as rejected: of them, the share of rows whose loss is
    below that of equal rewards. Of lists, NDCG@10.
    """
    everyone = np.arange(COUNT)
    if world.objective.samples_responses:
        return float((target_log_probabilities(world) > before).float().mean())
    if isinstance(world.objective, Preference):
        return preferring(world.objective, world, batch)
    if task_of(case) == "rerank":
        values: Tensor = validate_lists(world.backbone, world.data, everyone).values["ndcg@10"]
        return round(float(values.mean()), 6)
    best = validate_titles(world.backbone, world.data, everyone, beams=10).titles[:, 0]
    targets = world.data.target_titles(world.data.validation.rows)
    return float((best == targets).mean())


@torch.no_grad()
def preferring(objective: Preference, world: World, batch: Batch) -> float:
    encoded = world.backbone.encode(batch.packed, batch.state_index)
    rewards = objective.rewards(objective.log_probabilities(encoded, batch), batch.example)
    equal = objective.losses(torch.zeros_like(rewards), batch.example)
    return float((objective.losses(rewards, batch.example) < equal).float().mean())


@torch.no_grad()
def target_log_probabilities(world: World) -> Tensor:
    """log P(target | prompt) of each row over the catalogue, float32 [rows]."""
    batch = world.data.validation_batch(np.arange(COUNT))
    loss = MSL(temperature=1.0)
    loss.prepare(world.preparation)
    losses, _ = loss.token_losses(world.backbone.encode(batch.packed, batch.state_index), batch)
    return -torch.zeros(COUNT).index_add(0, batch.row, losses)
