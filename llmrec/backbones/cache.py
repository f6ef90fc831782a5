"""A key-value cache with spare capacity: tokens are appended in place, and beams need no copies or reordering."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


@dataclass(frozen=True)
class Slots:
    """Where the tokens of a packed model call belong: those of all rows stand in one sequence, without padding.

    Attributes:
        row: The cache's row of each token, int64 `[tokens]`.
        column: The cache's column of each token, int64 `[tokens]`.
        columns: Number of columns that the tokens may attend to, the largest of `column` + 1.
        attended: The rows that have tokens, int64 `[n]`; None for all.
        query_row: Index of each token's row among the attended ones, int64 `[tokens]`.
        query_column: Number of the same row's tokens before each token, int64 `[tokens]`.
        shape: Number of attended rows and largest number of tokens of a row: the shape of padded queries.
    """

    row: Tensor
    column: Tensor
    columns: int
    attended: Tensor | None
    query_row: Tensor
    query_column: Tensor
    shape: tuple[int, int]

    @property
    def is_dense(self) -> bool:
        """Whether all rows with tokens have equally many, so that there is no padding."""
        return len(self.row) == self.shape[0] * self.shape[1]

    def pad(self, packed: Tensor) -> Tensor:
        """Lays out values of the tokens (`[tokens, ...]`) as one row for each attended row, `[n, width, ...]`."""
        if self.is_dense:
            return packed.unflatten(0, self.shape)
        padded = packed.new_zeros((*self.shape, *packed.shape[1:]))
        padded[self.query_row, self.query_column] = packed
        return padded

    def unpad(self, padded: Tensor) -> Tensor:
        """Inverts `pad`."""
        return padded.flatten(0, 1) if self.is_dense else padded[self.query_row, self.query_column]


class AppendLayer(DynamicLayer):
    """One layer's keys and values, `[rows, capacity, heads, head size]`, filled from the left.

    The columns stand before the heads, as in the projections that compute them, so that a token is one block of memory.

    Attributes:
        rows: Number of rows.
        capacity: Number of columns that are allocated.
        filled: Number of columns that are in use.
        slots: Where the next states belong; None for new columns of all rows. See `AppendCache.append_at`.
    """

    is_croppable = False

    def __init__(self, rows: int, capacity: int, prefix: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.rows, self.capacity, self.filled = rows, capacity, 0
        self.slots: Slots | None = None
        if prefix is not None:
            self.update(*(states.expand(rows, -1, -1, -1) for states in prefix))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates tensors of the layer's capacity with the shape, data type and device of the given states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            states.new_empty((self.rows, self.capacity, states.shape[1], states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends new states and returns the filled keys and values of the rows that they belong to.

        Args:
            key_states: `[rows, heads, new, head size]`; with `slots`, `[1, heads, tokens, head size]`.
            value_states: As `key_states`.
            args: Not used.
            kwargs: Not used.

        Returns:
            Keys and values, `[rows, heads, filled, head size]`; with `slots`, `[attended rows, heads, slots.columns,
            head size]`.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, slots = self.filled, self.slots
        self.filled = max(start, slots.columns) if slots else start + key_states.shape[2]
        if self.filled > self.capacity:
            self._grow(start, max(self.filled, 2 * self.capacity))
        assert self.keys is not None
        assert self.values is not None
        for cached, states in ((self.keys, key_states), (self.values, value_states)):
            new = states.transpose(1, 2)
            if slots is None:
                cached[:, start : self.filled] = new
            else:
                # Masked columns are multiplied by zero attention weights, so they must be finite.
                cached[:, start : self.filled] = 0
                cached[slots.row, slots.column] = new[0]
        keys, values = self.states
        if slots is None:
            return keys, values
        keys, values = keys[:, :, : slots.columns], values[:, :, : slots.columns]
        return (keys, values) if slots.attended is None else (keys[slots.attended], values[slots.attended])

    @property
    def states(self) -> tuple[Tensor, Tensor]:
        """Views of the filled keys and values, `[rows, heads, filled, head size]`."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys[:, : self.filled].transpose(1, 2), self.values[:, : self.filled].transpose(1, 2)

    def _grow(self, filled: int, capacity: int) -> None:
        keys, values = self.keys, self.values
        assert keys is not None
        assert values is not None
        self.capacity = capacity
        self.lazy_initialization(keys.transpose(1, 2), values.transpose(1, 2))
        for new, states in ((self.keys, keys), (self.values, values)):
            assert new is not None
            new[:, :filled] = states[:, :filled]

    def get_seq_length(self) -> int:
        """Returns the number of filled columns."""
        return self.filled


class AppendCache(Cache):
    """A cache with one AppendLayer per layer of the model.

    Attributes:
        append_layers: The layers.
        slots: Where the next states belong; see `append_at`.
    """

    def __init__(self, layers: int, rows: int, capacity: int, prefix: "AppendCache | None" = None) -> None:
        """Creates the cache.

        Args:
            layers: Number of the model's layers.
            rows: Number of rows.
            capacity: Number of columns to allocate; the cache grows if there are more.
            prefix: A cache with one row, whose content all rows begin with.
        """
        shared = [None] * layers if prefix is None else [layer.states for layer in prefix.append_layers]
        self.append_layers: list[AppendLayer] = [AppendLayer(rows, capacity, states) for states in shared]
        self.slots: Slots | None = None
        super().__init__(layers=list(self.append_layers))

    def append_at(self, row: Tensor, column: Tensor, rows: int, width: int, columns: int) -> Slots:
        """Sets where the states of the next model call belong, which runs the tokens of all rows as one sequence.

        Args:
            row: The row of each token, int64 `[tokens]`, ascending.
            column: The column of each token, int64 `[tokens]`, ascending in each row.
            rows: Number of rows that have tokens.
            width: Largest number of tokens of a row.
            columns: The largest of `column` + 1.
        """
        count = torch.zeros(self.append_layers[0].rows, dtype=torch.long, device=row.device)
        count = count.scatter_add(0, row, torch.ones_like(row))
        number = (count > 0).cumsum(0) - 1
        # Rows without tokens are last in a stable sort, which, unlike nonzero, does not make the host wait for a GPU.
        attended = None if rows == len(count) else (count == 0).int().argsort(stable=True)[:rows]
        before = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        self.slots = Slots(row, column, columns, attended, number[row], before, (rows, width))
        for layer in self.append_layers:
            layer.slots = self.slots
        return self.slots
