"""Random models of many architectures, a few thousand weights each."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from llmrec.backbones.backbone import Backbone
from tests.catalogue.vocabularies import characters

VOCABULARY = 40
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = SHAPE | SPECIAL | {"num_key_value_heads": 2, "initializer_range": 0.3}


def llama(layers: int = 2, hidden: int = 32) -> PreTrainedModel:
    """Grouped-query attention."""
    return LlamaForCausalLM(LlamaConfig(**GROUPED | {"num_hidden_layers": layers, "hidden_size": hidden}))


def tied_llama() -> PreTrainedModel:
    """The head's weights are the embeddings'."""
    return LlamaForCausalLM(LlamaConfig(**GROUPED, tie_word_embeddings=True))


def gpt2() -> PreTrainedModel:
    """Learned positions, a tied head, its own names for everything."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3, **SPECIAL
        )
    )


def qwen2() -> PreTrainedModel:
    """Biases in the attention; a sliding window that its config names but does not use."""
    return Qwen2ForCausalLM(Qwen2Config(**GROUPED, sliding_window=4, use_sliding_window=False))


def gemma2() -> PreTrainedModel:
    """Soft-capped attention, which only the eager kernel knows, and soft-capped logits."""
    config = Gemma2Config(
        **GROUPED, head_dim=8, attn_logit_softcapping=1.0, final_logit_softcapping=1.5, attn_implementation="eager"
    )
    return Gemma2ForCausalLM(config)


def opt() -> PreTrainedModel:
    """Positions with an offset; embeddings of another width than the layers."""
    config = OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, word_embed_proj_dim=16, init_std=0.3, dropout=0.0, **SPECIAL,
    )  # fmt: skip
    return OPTForCausalLM(config)


def cohere() -> PreTrainedModel:
    """Multiplies its logits."""
    return CohereForCausalLM(CohereConfig(**GROUPED, logit_scale=0.25))


def granite() -> PreTrainedModel:
    """Divides its logits."""
    return GraniteForCausalLM(GraniteConfig(**GROUPED, logits_scaling=3.0))


def bloom() -> PreTrainedModel:
    """Distances instead of positions: a branch behind another one stands too far from its prompt."""
    return BloomForCausalLM(
        BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3, **SPECIAL)
    )


def mamba() -> PreTrainedModel:
    """No attention: a branch reads whatever stands before it."""
    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3, **SPECIAL
    )
    return MambaForCausalLM(config)


def short_window() -> PreTrainedModel:
    """Sees only the latest four tokens."""
    return MistralForCausalLM(MistralConfig(**GROUPED, sliding_window=4))


FAST: list[Callable[[], PreTrainedModel]] = [llama, gpt2, qwen2, gemma2, opt, cohere, granite]
PLAIN: list[Callable[[], PreTrainedModel]] = [bloom, mamba, short_window]


def backbone(architecture: Callable[[], PreTrainedModel] = llama, seed: int = 0) -> Backbone:
    """A random model of that architecture, without dropout."""
    torch.manual_seed(seed)
    return Backbone(architecture().eval(), characters())


def sequence(length: int, seed: int) -> np.ndarray:
    """Random tokens, none of them special."""
    return np.random.default_rng(seed).integers(3, VOCABULARY, length).astype(np.int32)
