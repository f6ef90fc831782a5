"""Attention for packed model calls: the tokens of all rows stand in one sequence, so that no padding is computed.

A model's projections and MLPs treat every token alone and do not notice. Only attention needs to know the rows: it lays
out the queries with padding, applies the model's own kernel to them and to the cached keys and values, and packs the
result again.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PretrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from llmrec.backbones.cache import Slots

NAME = "llmrec_packed"
"""Name under which the attention is registered."""
ALIGNMENT = 16
"""Number of columns of which the rows of a mask have a multiple."""


@contextmanager
def packed_attention(config: PretrainedConfig, slots: Slots) -> Iterator[None]:
    """Lets a model's attention run on packed tokens while the block runs.

    Args:
        config: The model's config.
        slots: Where the tokens belong.
    """
    kernel = config._attn_implementation
    before = _CURRENT.set(_PackedAttention(kernel, slots))
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = kernel
        _CURRENT.reset(before)


class _PackedAttention:
    """The attention of one packed call, in all layers."""

    def __init__(self, kernel: str, slots: Slots) -> None:
        self.kernel, self.slots = kernel, slots
        self.grouped_mask: Tensor | None = None

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor,
        scaling: float | None = None,
        **settings: Any,
    ) -> tuple[Tensor, None]:
        """Computes the attention of a layer.

        Args:
            module: The layer's attention.
            query: `[1, heads, tokens, head size]`.
            key: `[rows, key heads, columns, head size]`.
            value: As `key`.
            attention_mask: `[rows, 1, width, columns]`, see `Backbone.attention_mask`.
            scaling: Factor of the products; None for the kernel's default.
            settings: Further settings of the model for its kernel.

        Returns:
            `[1, tokens, heads, head size]`, and None in place of the attention weights.
        """
        padded = self.slots.pad(query[0].transpose(0, 1)).transpose(1, 2)
        if self.kernel == "sdpa":
            result = self._grouped(padded, key, value, attention_mask, scaling)
        else:
            own = self._own_kernel(module)
            result, _ = own(module, padded, key, value, attention_mask, scaling=scaling, **settings)
        return self.slots.unpad(result)[None], None

    def _grouped(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
        """Computes grouped-query attention without a copy of keys and values for each of the heads that share them.

        The queries of these heads are further queries of the same key head.
        """
        rows, heads, width, size = query.shape
        groups = heads // key.shape[1]
        if self.grouped_mask is None:
            # Made once for all layers. The kernel would convert a bool mask in each of them.
            repeated = mask.expand(-1, groups, -1, -1).reshape(rows, 1, groups * width, -1)
            columns = repeated.shape[-1]
            # Kernels on a GPU need aligned rows and would copy others in each layer.
            aligned = query.new_zeros((rows, 1, groups * width, -(-columns // ALIGNMENT) * ALIGNMENT))
            self.grouped_mask = aligned[..., :columns].masked_fill_(~repeated, -torch.inf)
        grouped = query.reshape(rows, key.shape[1], groups * width, size)
        result = scaled_dot_product_attention(grouped, key, value, attn_mask=self.grouped_mask, scale=scaling)
        return result.reshape(rows, heads, width, -1).transpose(1, 2)

    def _own_kernel(self, module: nn.Module) -> Callable[..., tuple[Tensor, Tensor | None]]:
        """Returns the model's own kernel; the one called "eager" is a function in the file that defines the model."""
        eager = sys.modules[type(module).__module__].eager_attention_forward
        kernel: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(self.kernel, eager)
        return kernel


_CURRENT: ContextVar[_PackedAttention] = ContextVar("packed_attention")
"""The attention of the packed call that runs in this thread. Servers decode with several models at the same time."""
AttentionInterface.register(NAME, lambda *arguments, **settings: _CURRENT.get()(*arguments, **settings))
