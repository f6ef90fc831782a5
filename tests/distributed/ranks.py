"""Two processes that take one optimizer step together, as two ranks do."""

import pickle
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from llmrec.collectives import all_reduce_gradients, all_reduce_sums, padding_batch
from llmrec.training.module import scaled
from tests.distributed.process_group import RANKS, run_in_group
from tests.invariants.world import COMPOSED, Step, World, build_world, composed, micro_batches


def together(cases: Sequence[Sequence[str]], steps: Sequence[Sequence[int]], folder: Path) -> dict[str, list[Step]]:
    """What each case's steps (lists of rows, divided among two ranks) computed, by the case's words joined."""
    configs = {tuple(case): composed(case) for case in cases}
    run_in_group(_rank, folder, configs, steps, folder)
    return pickle.loads((folder / "steps.pickle").read_bytes())


def _rank(rank: int, configs: Mapping[tuple[str, ...], Any], steps: Sequence[Sequence[int]], folder: Path) -> None:
    COMPOSED.update(configs)
    done = {}
    for case in configs:
        world = build_world(case, folder / f"cache-{rank}")
        done[" ".join(case)] = [_step(world, list(rows), rank) for rows in steps]
    if rank == 0:
        (folder / "steps.pickle").write_bytes(pickle.dumps(done))


def _step(world: World, rows: list[int], rank: int) -> Step:
    """One rank's part of a step, as the Lightning module takes it; a rank without rows runs one that counts nothing."""
    mine = rows[rank::RANKS]
    counts = float(bool(mine))
    (batch,) = micro_batches(world, mine or [0])
    totals = all_reduce_sums(scaled(world.objective.totals(batch), counts))
    with nullcontext() if mine else padding_batch():
        part = world.objective(world.backbone.encode(batch.packed, batch.state_index), batch, totals)
    (part.loss * counts).backward()
    closed = all_reduce_sums(scaled({**part.statistics, "loss": part.loss.detach().double()}, counts))
    divisor = float(world.objective.divisor(closed))
    loss = float(closed.pop("loss")) / divisor
    world.objective.close_step(closed)
    all_reduce_gradients(list(world.backbone.parameters()))
    gradients = {name: weight.grad / divisor for name, weight in world.backbone.named_parameters()}
    world.backbone.zero_grad()
    return Step(loss, gradients, {name: value.clone() for name, value in world.objective.state_dict().items()})
