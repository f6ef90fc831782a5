"""A key-value cache that is allocated once and only appended to: never concatenated, repeated or reordered."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class AppendLayer(DynamicLayer):
    """One layer's keys and values, [rows, heads, capacity, head size], filled from the left."""

    is_croppable = False

    def __init__(self, rows: int, capacity: int, prefix: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        self.rows, self.capacity, self.filled = rows, capacity, 0
        if prefix is not None:
            self.update(*(states.expand(rows, -1, -1, -1) for states in prefix))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates the whole capacity at the first append."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            torch.empty(
                (self.rows, states.shape[1], self.capacity, states.shape[3]), dtype=self.dtype, device=self.device
            )
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends new states; returns views of all that is filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.filled + key_states.shape[2]
        self.keys[:, :, self.filled : end] = key_states
        self.values[:, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Number of cached columns."""
        return self.filled


class AppendCache(Cache):
    """One AppendLayer a model layer; `prefix`, the layers of a one-row cache, is what all rows begin with."""

    def __init__(self, layers: int, rows: int, capacity: int, prefix: "AppendCache | None" = None) -> None:
        shared = [None] * layers if prefix is None else [prefix.states(i) for i in range(layers)]
        super().__init__(layers=[AppendLayer(rows, capacity, states) for states in shared])

    def states(self, layer: int) -> tuple[Tensor, Tensor]:
        """The filled keys and values of a layer."""
        filled = self.layers[layer].get_seq_length()
        return self.layers[layer].keys[:, :, :filled], self.layers[layer].values[:, :, :filled]
