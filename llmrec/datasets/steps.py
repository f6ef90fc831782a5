"""Assigns training rows to optimizer steps: shuffled, grouped by length, the same for any number of ranks."""

from collections.abc import Callable, Iterator

import numpy as np

BATCHES_PER_GROUP = 50
"""Number of batches whose rows are sorted by length together.

Rows of a batch then have similar lengths, while the composition of the batches is still random.
"""


class LengthGroupedSteps:
    """The optimizer steps of one epoch: each row once, `batch_size` rows a step, fewer in one step if rows are left.

    Iterating yields the micro-batches of this rank for each step, each an array of row indices, int [micro rows]. All
    ranks have the same number of micro-batches: if the rows cannot be divided evenly, the last one is empty on some
    ranks.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        micro_batch_rows: Callable[[np.ndarray], int],
        seed: int,
        epoch: int,
        rank: int,
        ranks: int,
    ) -> None:
        """Sets up the steps of an epoch.

        Args:
            lengths: Number of tokens of each training row, int [rows].
            batch_size: Rows of an optimizer step, over all ranks.
            micro_batch_rows: Returns the number of rows of a micro-batch, given the rows of the step (int [rows]).
            seed: Seed of the shuffling, together with the epoch.
            epoch: Number of the epoch.
            rank: This process's rank.
            ranks: World size.
        """
        self.lengths, self.batch_size, self.micro_batch_rows = lengths, batch_size, micro_batch_rows
        self.seed = [seed, epoch]
        self.rank, self.ranks = rank, ranks

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        generator = np.random.default_rng(self.seed)
        order = generator.permutation(len(self.lengths))
        steps = []
        for start in range(0, len(order), BATCHES_PER_GROUP * self.batch_size):
            group = order[start : start + BATCHES_PER_GROUP * self.batch_size]
            group = group[np.argsort(-self.lengths[group], kind="stable")]
            steps += [group[i : i + self.batch_size] for i in range(0, len(group), self.batch_size)]
        for step in generator.permutation(len(steps)):
            rank_rows = steps[step][self.rank :: self.ranks]
            # Rank 0 has the most rows of all ranks.
            largest, size = len(steps[step][:: self.ranks]), self.micro_batch_rows(steps[step])
            yield [rank_rows[i : i + size] for i in range(0, largest, size)]
