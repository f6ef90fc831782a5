"""A key-value cache with room to append to: not concatenated at every step, never repeated or reordered."""

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class AppendLayer(DynamicLayer):
    """One layer's keys and values, [rows, heads, capacity, head size], filled from the left."""

    is_croppable = False

    def __init__(self, rows: int, capacity: int, prefix: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.rows, self.capacity, self.filled = rows, capacity, 0
        self.appended: Tensor | None = None
        if prefix is not None:
            self.update(*(states.expand(rows, -1, -1, -1) for states in prefix))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates the capacity for states like these."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            states.new_empty((self.rows, states.shape[1], self.capacity, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends new states; returns all that is filled, of the appended rows."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        if self.filled > self.capacity:
            self._grow(start, max(self.filled, 2 * self.capacity))
        keys, values = self.states
        if self.appended is None:
            keys[:, :, start:], values[:, :, start:] = key_states, value_states
            return keys, values
        # What nobody sees still takes part in products with zero, so it must be finite.
        keys[:, :, start:], values[:, :, start:] = 0, 0
        keys[self.appended, :, start:], values[self.appended, :, start:] = key_states, value_states
        return keys[self.appended], values[self.appended]

    @property
    def states(self) -> tuple[Tensor, Tensor]:
        """Views of the filled keys and values."""
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
        """Number of cached columns."""
        return self.filled


class AppendCache(Cache):
    """One AppendLayer a model layer; `prefix`, the layers of a one-row cache, is what all rows begin with."""

    def __init__(self, layers: int, rows: int, capacity: int, prefix: "AppendCache | None" = None) -> None:
        shared = [None] * layers if prefix is None else [layer.states for layer in prefix.append_layers]
        self.append_layers: list[AppendLayer] = [AppendLayer(rows, capacity, states) for states in shared]
        super().__init__(layers=list(self.append_layers))

    def append_to(self, rows: Tensor | None) -> None:
        """Names the rows (int64, None: all) that the next states belong to; the others get columns of zeros."""
        for layer in self.append_layers:
            layer.appended = rows
