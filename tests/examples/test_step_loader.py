"""Steps that are built early are those that are built when they are needed."""

from pathlib import Path

import numpy as np
import torch

from llmrec.examples.training_data import StepLoader
from llmrec.objectives.msl import MSL
from tests.invariants.world import preparation_of

PARTS = [[np.array([3, 1]), np.array([0])], [np.array([2]), np.array([], dtype=int)], [np.array([4, 5, 6])]]


def test_batches_that_are_built_early_are_the_same(tmp_path: Path) -> None:
    data = preparation_of(tmp_path, MSL()).data
    early = StepLoader(PARTS, data.step)
    found = []
    for step in early:
        early.build_next()
        found.append(step)
    expected = list(StepLoader(PARTS, data.step))
    assert len(found) == len(expected) == len(early) == 3
    for one, other in zip(found, expected, strict=True):
        assert one.padding_batches == other.padding_batches
        for batch, same in zip(one.batches, other.batches, strict=True):
            assert batch.indices.keys() == same.indices.keys()
            assert all(map(torch.equal, batch.tensors(), same.tensors()))


def test_each_step_is_built_once_and_none_after_the_last() -> None:
    built: list[int] = []
    loader = StepLoader([[np.array([number])] for number in range(3)], lambda parts: built.append(int(parts[0][0])))
    steps = iter(loader)
    assert built == []
    next(steps)
    loader.build_next()
    loader.build_next()
    assert built == [0, 1]
    for _ in steps:
        loader.build_next()
    assert built == [0, 1, 2]
    next(iter(loader))
    assert built == [0, 1, 2, 0]
