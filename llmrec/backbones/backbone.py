"""The forward primitive: a prompt and its branches go in, hidden states at the positions asked for come out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from llmrec.backbones.adapters import adapter_layers, is_adapted, outputs_at
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import Packed, unpack

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class Encoded:
    """States at N positions, which project to logits only for the tokens that someone asks for.

    hidden: [N, hidden size], or None on the plain path, where own_logits [N, vocabulary] come from the model itself.
    """

    head: "Head"
    hidden: Tensor | None
    own_logits: Tensor | None = None

    @property
    def states(self) -> Tensor:
        """What there is of the N positions: hidden states, or logits on the plain path."""
        states = self.hidden if self.hidden is not None else self.own_logits
        assert states is not None
        return states

    @property
    def device(self) -> torch.device:
        """Where the states lie."""
        return self.states.device

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, index: Tensor | slice) -> "Encoded":
        hidden = None if self.hidden is None else self.hidden[index]
        return Encoded(self.head, hidden, None if self.own_logits is None else self.own_logits[index])

    def logits(self, tokens: Tensor | None = None) -> Tensor:
        """float32 logits of all tokens [N, vocabulary], or of `tokens` (int64 [M]) only: [N, M]."""
        if self.own_logits is not None:
            return (self.own_logits if tokens is None else self.own_logits[:, tokens]).float()
        assert self.hidden is not None
        return self.head(self.hidden, tokens)


class Head:
    """A causal LM's output projection, of all tokens or a few, scaled and soft-capped as the model's config says."""

    def __init__(self, model: PreTrainedModel, autocast: AbstractContextManager[Any]) -> None:
        """autocast: the context in which the product is computed."""
        self.linear, self.autocast = model.get_output_embeddings(), autocast
        config = model.config.get_text_config()
        # Cohere multiplies, Granite divides, Gemma caps; the probe refuses what none of these explains.
        self.scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        self.cap = getattr(config, "final_logit_softcapping", None)

    def __call__(self, hidden: Tensor, tokens: Tensor | None) -> Tensor:
        with self.autocast:
            logits = self.linear(hidden) if tokens is None else outputs_at(self.linear, hidden, tokens)
        logits = logits.float() * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


class Backbone(nn.Module):
    """A causal LM (with its adapter, if any) and its tokenizer.

    plain: take the model's own forward over one sequence a branch instead of the shared prompt; set by the probe for
    models whose attention or head the fast path does not reproduce.
    autocast_dtype: the type in which matrix products are computed, None for that of the weights. It belongs to the
    backbone, so that training, validation, evaluation and recommending all compute alike.
    base_weights: the hash of the base model's weight files; None where all weights are a run's own. base_revision: the
    hub's name for their version; None for a model that is not from a hub.
    """

    def __init__(self, model: "PreTrainedModel | PeftModel", tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.plain = False
        self.autocast_dtype: torch.dtype | None = None
        self.base_weights: str | None = None
        self.base_revision: str | None = None

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The causal LM itself, inside its adapter."""
        model = self.model.get_base_model() if is_adapted(self.model) else self.model
        assert isinstance(model, PreTrainedModel)
        return model

    @property
    def adapted(self) -> bool:
        """Whether an adapter is what is trained."""
        return is_adapted(self.model)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Switches the adapter off, if there is one: the backbone before any tuning."""
        if is_adapted(self.model):
            with self.model.disable_adapter():
                yield
        else:
            yield

    def weights_in_use(self) -> Iterator[tuple[str, Tensor]]:
        """The weights by name, those of an adapter only where it is not switched off."""
        off = self.adapted and not adapter_layers(self)
        return ((name, weight) for name, weight in self.named_parameters() if not (off and "lora_" in name))

    @property
    def head(self) -> Head:
        """The output projection."""
        return Head(self.causal_lm, self.autocast())

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which all products with the weights are computed."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    def encode(self, packed: Packed, at: Tensor) -> Encoded:
        """States at `at` (int64 [N], flat row * columns + column) of rows of prompts with their branches."""
        if self.plain:
            return self._encode_plainly(packed, at)
        return Encoded(self.head, self.hidden(packed, at))

    def hidden(self, packed: Packed, at: Tensor) -> Tensor:
        """The last hidden states [N, hidden size] at `at`, which `encode` wraps where the head can be trusted."""
        if self.plain:
            tokens, attended, sequence, position = _plain_sequences(packed, at)
            with self.autocast():
                decoded = self.causal_lm.get_decoder()(input_ids=tokens, attention_mask=attended, use_cache=False)
            return decoded.last_hidden_state[sequence, position]
        visible = packed.visible()
        with self.autocast():
            hidden = self.causal_lm.get_decoder()(
                input_ids=packed.tokens[:, packed.shared :],
                position_ids=packed.positions[:, packed.shared :],
                attention_mask=None if visible is None else self.attention_mask(visible),
                past_key_values=self._shared_states(packed),
                use_cache=packed.shared > 0,
            ).last_hidden_state
        columns = packed.tokens.shape[1]
        row, column = at // columns, at % columns - packed.shared
        return hidden[row, column]

    def _shared_states(self, packed: Packed) -> DynamicCache | None:
        """Keys and values of the columns that all rows share, computed once; gradients flow through them."""
        if not packed.shared:
            return None
        cache = DynamicCache()
        self.causal_lm.get_decoder()(
            input_ids=packed.tokens[:1, : packed.shared], past_key_values=cache, use_cache=True
        )
        cache.batch_repeat_interleave(len(packed.tokens))
        return cache

    def extend(self, cache: AppendCache, tokens: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        """Hidden states [rows, new, hidden size] of tokens appended to the cache (decoding only).

        visible: bool [rows or 1, new, cached + new], what each new token sees; None: everything up to itself, which is
        only right for an empty cache.
        """
        mask = None if visible is None else self.attention_mask(visible)
        with self.autocast():
            return (
                self.causal_lm.get_decoder()(
                    input_ids=tokens, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
                )
            ).last_hidden_state

    def attention_mask(self, visible: Tensor) -> Tensor:
        """The 4D mask in the form that the model's attention kernel takes."""
        mask = visible[:, None]
        if self.causal_lm.config._attn_implementation == "sdpa":
            return mask
        lowest = torch.finfo(self.causal_lm.dtype).min
        return torch.zeros(mask.shape, dtype=self.causal_lm.dtype, device=mask.device).masked_fill(~mask, lowest)

    def _encode_plainly(self, packed: Packed, at: Tensor) -> Encoded:
        tokens, attended, sequence, position = _plain_sequences(packed, at)
        with self.autocast():
            logits = self.model(input_ids=tokens, attention_mask=attended, use_cache=False).logits
        return Encoded(self.head, None, logits[sequence, position])


def _plain_sequences(packed: Packed, at: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One sequence a branch: tokens and mask int64 [sequences, length]; sequence and position of `at`, int64 [N]."""
    tokens, lengths, index = unpack(packed)
    real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    sequence, position = index.flatten(0, 1)[at].unbind(-1)
    return tokens, real.long(), sequence, position
