"""On a GPU: every objective's step is the CPU's in float32; the step of single branches takes the flash kernel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmrec.backbones.packing import pack
from tests.decoding.small import random_backbone
from tests.invariants.world import (
    CASES,
    ROWS,
    Step,
    World,
    build_objective,
    build_world,
    micro_batches,
    preparation_of,
    take_step,
    task_of,
)

pytestmark = pytest.mark.gpu
ALL = list(range(len(ROWS)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def world_on(device: str, case: tuple[str, ...], cache: Path) -> World:
    objective = build_objective(case).to(device)
    preparation = preparation_of(cache, objective, task=task_of(case))
    preparation.backbone.to(device)
    preparation = replace(preparation, trie=preparation.data.trie.to(device))
    objective.prepare(preparation)
    return World(objective, preparation.backbone, preparation.data, preparation)


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_step_is_that_of_the_cpu(case: tuple[str, ...], cache: Path) -> None:
    expected, found = build_world(case, cache / "cpu"), world_on("cuda", case, cache / "cuda")
    for _ in range(2):
        one: Step = take_step(expected, micro_batches(expected, ALL))
        other = take_step(found, [batch.to("cuda") for batch in micro_batches(found, ALL)])
        assert other.loss == pytest.approx(one.loss, rel=1e-4)
        largest = max(float(gradient.abs().max()) for gradient in one.gradients.values())
        for name, gradient in one.gradients.items():
            torch.testing.assert_close(other.gradients[name].cpu(), gradient, atol=1e-3 * largest, rtol=0, msg=name)


def test_rows_of_one_branch_take_the_flash_kernel() -> None:
    """Which refuses any mask, as one for packed sequences would be."""
    backbone = random_backbone(seed=0).to("cuda").to(torch.bfloat16)
    prompts = [np.arange(3, 3 + n) for n in (5, 9, 7)]
    packed, starts = pack(prompts, [[np.array([4, 8])] for _ in prompts])
    at = torch.tensor([int(row[0, 1]) for row in starts], device="cuda")
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert backbone.encode(packed.to("cuda"), at).logits().isfinite().all()
