"""A key-value cache with spare capacity: tokens are appended in place, and beams need no copies or reordering."""

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class AppendLayer(DynamicLayer):
    """One layer's keys and values, `[rows, heads, capacity, head size]`, filled from the left.

    Attributes:
        rows: Number of rows.
        capacity: Number of columns that are allocated.
        filled: Number of columns that are in use.
        appended: The rows that the next states belong to, int64; None for all. See `AppendCache.append_to`.
    """

    is_croppable = False

    def __init__(self, rows: int, capacity: int, prefix: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.rows, self.capacity, self.filled = rows, capacity, 0
        self.appended: Tensor | None = None
        if prefix is not None:
            self.update(*(states.expand(rows, -1, -1, -1) for states in prefix))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates tensors of the layer's capacity with the shape, data type and device of the given states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            states.new_empty((self.rows, states.shape[1], self.capacity, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends new states and returns the filled keys and values of the rows that they belong to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        if self.filled > self.capacity:
            self._grow(start, max(self.filled, 2 * self.capacity))
        keys, values = self.states
        if self.appended is None:
            keys[:, :, start:], values[:, :, start:] = key_states, value_states
            return keys, values
        # Masked columns are multiplied by zero attention weights, so they must be finite.
        keys[:, :, start:], values[:, :, start:] = 0, 0
        keys[self.appended, :, start:], values[self.appended, :, start:] = key_states, value_states
        return keys[self.appended], values[self.appended]

    @property
    def states(self) -> tuple[Tensor, Tensor]:
        """Views of the filled keys and values, `[rows, heads, filled, head size]`."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def _grow(self, filled: int, capacity: int) -> None:
        old = self.states
        self.capacity = capacity
        self.lazy_initialization(*old)
        for new, states in zip(self.states, old, strict=True):
            new[:, :, :filled] = states[:, :, :filled]

    def get_seq_length(self) -> int:
        """Returns the number of filled columns."""
        return self.filled


class AppendCache(Cache):
    """A cache with one AppendLayer per layer of the model."""

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
        super().__init__(layers=list(self.append_layers))

    def append_to(self, rows: Tensor | None) -> None:
        """Sets the rows (int64 `[n]`; None for all) that the next states belong to; other rows get columns of zeros."""
        for layer in self.append_layers:
            layer.appended = rows
