"""The backbone and its forward primitive: hidden states or logits at chosen positions of prompts with branches.

A branch is a response to a prompt. The fast path runs a prompt once for all its branches; the plain path runs the
model's own forward over one sequence per branch, for models that the fast path does not reproduce.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones.adapters import adapter_layers, is_adapted, is_adapter_weight, outputs_at
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packed_attention import packed_attention
from llmrec.backbones.packing import Packed, unpack

if TYPE_CHECKING:
    from peft import PeftModel

CHUNK_STATES = 256
"""Number of states whose logits are normalized at once: 128 MiB of float32 logits with a vocabulary of 128,000."""


@dataclass(frozen=True)
class Encoded:
    """Model states at N positions, which are projected to logits only for the requested tokens.

    Attributes:
        head: The output projection.
        hidden: Last hidden states, `[N, hidden size]`; None on the plain path.
        own_logits: The model's own logits, `[N, vocabulary]`; None except on the plain path.
    """

    head: "Head"
    hidden: Tensor | None
    own_logits: Tensor | None = None

    @property
    def states(self) -> Tensor:
        """Hidden states of the N positions, or their logits on the plain path."""
        states = self.hidden if self.hidden is not None else self.own_logits
        assert states is not None
        return states

    @property
    def device(self) -> torch.device:
        """Device of the states."""
        return self.states.device

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, index: Tensor | slice) -> "Encoded":
        hidden = None if self.hidden is None else self.hidden[index]
        return Encoded(self.head, hidden, None if self.own_logits is None else self.own_logits[index])

    def logits(self, tokens: Tensor | None = None) -> Tensor:
        """Returns the logits of all tokens, float32 `[N, vocabulary]`, or of `tokens` (int64 `[M]`) only, `[N, M]`."""
        if self.own_logits is not None:
            return (self.own_logits if tokens is None else self.own_logits[:, tokens]).float()
        assert self.hidden is not None
        return self.head(self.hidden, tokens)

    def log_normalizers(self, temperature: float = 1.0) -> Tensor:
        """Returns the logsumexp of the logits of all tokens, divided by a temperature, float32 `[N]`.

        Logits are computed for a few states at a time and are not kept.
        """
        chunks = [self[start : start + CHUNK_STATES] for start in range(0, len(self), CHUNK_STATES)]
        logits = (chunk.logits() for chunk in chunks)
        return torch.cat([(each if temperature == 1 else each / temperature).logsumexp(-1) for each in logits])


class Head:
    """A causal LM's output projection with the scaling and soft-capping of its config, for all tokens or a few."""

    def __init__(self, model: PreTrainedModel, autocast: AbstractContextManager[Any]) -> None:
        """Reads the head's weights and settings.

        Args:
            model: The causal LM.
            autocast: The context in which the product is computed.
        """
        self.linear, self.autocast = model.get_output_embeddings(), autocast
        config = model.config.get_text_config()
        # Cohere multiplies logits, Granite divides them and Gemma caps them. A model that does anything else fails the
        # probe and takes the plain path.
        self.scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        self.softcap = getattr(config, "final_logit_softcapping", None)

    def __call__(self, hidden: Tensor, tokens: Tensor | None) -> Tensor:
        with self.autocast:
            logits = self.linear(hidden) if tokens is None else outputs_at(self.linear, hidden, tokens)
        logits = logits.float()
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


class Backbone(nn.Module):
    """A causal LM, with its adapter if it has one, and its tokenizer.

    Attributes:
        model: The causal LM, or PEFT's wrapper of it.
        tokenizer: The model's tokenizer.
        uses_plain_path: Whether to run the model's own forward over one sequence per branch instead of sharing the
            prompt. Set by the probe for models whose attention or head the fast path does not reproduce.
        autocast_dtype: Data type of matrix products; None for that of the weights. It is part of the backbone so that
            training, validation, evaluation and recommendation all use the same.
        base_weights: Hash of the base model's weight files; None if all weights come from a run's folder.
        base_revision: The hub's commit hash of the base model; None if it does not come from a hub.
    """

    def __init__(self, model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.uses_plain_path = False
        self.autocast_dtype: torch.dtype | None = None
        self.base_weights: str | None = None
        self.base_revision: str | None = None

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The causal LM without PEFT's wrapper."""
        model = self.model.get_base_model() if is_adapted(self.model) else self.model
        assert isinstance(model, PreTrainedModel)
        return model

    @property
    def has_adapter(self) -> bool:
        """Whether the model has an adapter, which is then what is trained."""
        return is_adapted(self.model)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Disables the adapter, if there is one, while the block runs: the backbone is then the base model."""
        if is_adapted(self.model):
            with self.model.disable_adapter():
                yield
        else:
            yield

    def weights_in_use(self) -> Iterator[tuple[str, Tensor]]:
        """Yields names and values of all weights, except those of a disabled adapter."""
        off = self.has_adapter and not adapter_layers(self)
        return ((name, weight) for name, weight in self.named_parameters() if not (off and is_adapter_weight(name)))

    @property
    def head(self) -> Head:
        """The model's output projection."""
        return Head(self.causal_lm, self.autocast())

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context in which all products with the weights are computed."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.model.parameters()).device

    def encode(self, packed: Packed, index: Tensor) -> Encoded:
        """Computes the model's states at chosen positions.

        Args:
            packed: Prompts with their branches.
            index: Flat indices of the positions, `row * columns + column`, int64 `[N]`.
        """
        if self.uses_plain_path:
            return self._encode_plain(packed, index)
        return Encoded(self.head, self.hidden(packed, index))

    def hidden(self, packed: Packed, index: Tensor) -> Tensor:
        """Computes the last hidden states at chosen positions, `[N, hidden size]`; arguments as for `encode`.

        Unlike `encode`, it returns hidden states on the plain path too.
        """
        if self.uses_plain_path:
            tokens, attended, sequence, position = _plain_sequences(packed, index)
            with self.autocast():
                decoded = self.causal_lm.get_decoder()(input_ids=tokens, attention_mask=attended, use_cache=False)
            return decoded.last_hidden_state[sequence, position]
        visible = packed.visible()
        with self.autocast():
            hidden = self.causal_lm.get_decoder()(
                input_ids=packed.tokens[:, packed.shared_columns :],
                position_ids=packed.positions[:, packed.shared_columns :],
                attention_mask=None if visible is None else self.attention_mask(visible),
                past_key_values=self._shared_states(packed),
                use_cache=packed.shared_columns > 0,
            ).last_hidden_state
        columns = packed.tokens.shape[1]
        row, column = index // columns, index % columns - packed.shared_columns
        return hidden[row, column]

    def _shared_states(self, packed: Packed) -> DynamicCache | None:
        """Returns keys and values of the columns that all rows share, computed once; gradients flow through them."""
        if not packed.shared_columns:
            return None
        cache = DynamicCache()
        self.causal_lm.get_decoder()(
            input_ids=packed.tokens[:1, : packed.shared_columns], past_key_values=cache, use_cache=True
        )
        cache.batch_repeat_interleave(len(packed.tokens))
        return cache

    def extend(self, cache: AppendCache, tokens: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        """Appends tokens to the cache and computes their hidden states (decoding only).

        If the cache has slots (`AppendCache.append_at`), the tokens of all its rows are packed into one sequence.

        Args:
            cache: The cache, which is extended in place.
            tokens: int64 `[rows, new]`; packed: `[1, tokens]`.
            positions: Position ids of the tokens, int64 `[rows or 1, new]`; packed: `[1, tokens]`.
            visible: Columns that each new token attends to, bool `[rows or 1, new, cached + new]`; packed:
                `[rows with tokens, width, columns]`, see `Slots`. None is causal attention, which is correct only for
                an empty cache.

        Returns:
            `[rows, new, hidden size]`; packed: `[1, tokens, hidden size]`.
        """
        mask = None if visible is None else self.attention_mask(visible)
        slots = cache.slots
        attention = nullcontext() if slots is None else packed_attention(self.causal_lm.config.get_text_config(), slots)
        with self.autocast(), attention:
            return (
                self.causal_lm.get_decoder()(
                    input_ids=tokens, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
                )
            ).last_hidden_state

    def attention_mask(self, visible: Tensor) -> Tensor:
        """Converts `visible` (bool `[rows, queries, keys]`) to the 4D mask that the attention kernel expects."""
        mask = visible[:, None]
        if self.causal_lm.config._attn_implementation == "sdpa":
            return mask
        lowest = torch.finfo(self.causal_lm.dtype).min
        return torch.zeros(mask.shape, dtype=self.causal_lm.dtype, device=mask.device).masked_fill(~mask, lowest)

    def _encode_plain(self, packed: Packed, index: Tensor) -> Encoded:
        tokens, attended, sequence, position = _plain_sequences(packed, index)
        with self.autocast():
            logits = self.model(input_ids=tokens, attention_mask=attended, use_cache=False).logits
        return Encoded(self.head, None, logits[sequence, position])


def _plain_sequences(packed: Packed, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lays out one sequence per branch.

    Returns tokens and attention mask, int64 `[sequences, length]`, and the sequence and position of each index,
    int64 `[N]`.
    """
    tokens, lengths, location = unpack(packed)
    attended = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    sequence, position = location.flatten(0, 1)[index].unbind(-1)
    return tokens, attended.long(), sequence, position
