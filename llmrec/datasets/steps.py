"""Which training rows make up which optimizer step: shuffled, grouped by length, the same for any number of ranks."""

from collections.abc import Callable, Iterator

import numpy as np

GROUP = 50
"""Batches that are sorted by length together: rows of a batch are alike, batches of an epoch still random."""


class LengthGroupedSteps:
    """The optimizer steps of one epoch: every row once, `batch_size` rows a step, the last step possibly fewer.

    Yields for each step this rank's micro-batches, each a list of row indices, of as many rows as `micro_rows` says for
    the rows of the whole step. All ranks have as many: where rows do not divide, the last ones of some ranks are empty.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        micro_rows: Callable[[np.ndarray], int],
        seed: int,
        epoch: int,
        rank: int,
        ranks: int,
    ) -> None:
        self.lengths, self.batch_size, self.micro_rows = lengths, batch_size, micro_rows
        self.seed = [seed, epoch]
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        generator = np.random.default_rng(self.seed)
        order = generator.permutation(len(self.lengths))
        steps = []
        for start in range(0, len(order), GROUP * self.batch_size):
            group = order[start : start + GROUP * self.batch_size]
            group = group[np.argsort(-self.lengths[group], kind="stable")]
            steps += [group[i : i + self.batch_size] for i in range(0, len(group), self.batch_size)]
        for step in generator.permutation(len(steps)):
            mine = steps[step][self.rank :: self.ranks]
            most, size = len(steps[step][:: self.ranks]), self.micro_rows(steps[step])
            yield [mine[i : i + size] for i in range(0, most, size)]
