"""Random models of many architectures, a few thousand weights each."""

from collections.abc import Callable

import numpy as np
import torch
from transformers import (
    BambaConfig,
    BambaForCausalLM,
    BartConfig,
    BartForCausalLM,
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    FalconH1Config,
    FalconH1ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
    XGLMConfig,
    XGLMForCausalLM,
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
    """Tied embeddings: the head's weights are those of the embeddings."""
    return LlamaForCausalLM(LlamaConfig(**GROUPED, tie_word_embeddings=True))


def gpt2() -> PreTrainedModel:
    """Learned positions, a tied head, and config and module names of its own."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3, **SPECIAL
        )
    )


def qwen2() -> PreTrainedModel:
    """Attention biases; its config has a sliding window that is not used."""
    return Qwen2ForCausalLM(Qwen2Config(**GROUPED, sliding_window=4, use_sliding_window=False))


def gemma2() -> PreTrainedModel:
    """Soft-capped attention, which only the eager kernel implements, and soft-capped logits."""
    config = Gemma2Config(
        **GROUPED, head_dim=8, attn_logit_softcapping=1.0, final_logit_softcapping=1.5, attn_implementation="eager"
    )
    return Gemma2ForCausalLM(config)


def opt() -> PreTrainedModel:
    """Learned positions with an offset; embeddings whose width differs from that of the layers."""
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
    """Relative positions (ALiBi): in a shared row, a branch after another one is too far from its prompt."""
    return BloomForCausalLM(
        BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3, **SPECIAL)
    )


def mamba() -> PreTrainedModel:
    """No attention: a branch depends on all tokens before it, including other branches."""
    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3, **SPECIAL
    )
    return MambaForCausalLM(config)


def mamba2() -> PreTrainedModel:
    """No attention and no key-value cache."""
    config = Mamba2Config(
        vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, num_heads=4, head_dim=16, n_groups=1,
        chunk_size=8, initializer_range=0.3, **SPECIAL,
    )  # fmt: skip
    return Mamba2ForCausalLM(config)


def rwkv() -> PreTrainedModel:
    """No attention; left padding, which it cannot ignore, changes its outputs."""
    config = RwkvConfig(
        vocab_size=VOCABULARY, hidden_size=32, attention_hidden_size=32, num_hidden_layers=2, context_length=128,
        rescale_every=0, **SPECIAL,
    )  # fmt: skip
    return RwkvForCausalLM(config)


def jamba() -> PreTrainedModel:
    """Alternating state-space and attention layers, and a mixture of experts."""
    config = JambaConfig(
        **GROUPED, num_experts=2, mamba_d_state=4, attn_layer_period=2, attn_layer_offset=1, use_mamba_kernels=False
    )
    return JambaForCausalLM(config)


def falcon_h1() -> PreTrainedModel:
    """State-space model and attention in parallel in every layer."""
    config = FalconH1Config(
        **GROUPED, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=4, mamba_n_groups=1,
        mamba_chunk_size=8,
    )  # fmt: skip
    return FalconH1ForCausalLM(config)


def bamba() -> PreTrainedModel:
    """One Mamba 2 layer and one attention layer."""
    config = BambaConfig(
        **GROUPED, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=4, mamba_n_groups=1, mamba_chunk_size=8,
        attn_layer_indices=[1],
    )  # fmt: skip
    return BambaForCausalLM(config)


def gpt_neo() -> PreTrainedModel:
    """Its causal mask is a table with as many columns as positions, fewer than a row with many branches may have."""
    config = GPTNeoConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global"], 2]],
        max_position_embeddings=128, initializer_range=0.3, **SPECIAL,
    )  # fmt: skip
    return GPTNeoForCausalLM(config)


def xglm() -> PreTrainedModel:
    """Supports branches, but not a mask that is shared by all rows, which the cached search passes."""
    config = XGLMConfig(
        vocab_size=VOCABULARY, d_model=32, ffn_dim=48, num_layers=2, attention_heads=4, max_position_embeddings=128,
        dropout=0.0, attention_dropout=0.0, init_std=0.3, **SPECIAL,
    )  # fmt: skip
    return XGLMForCausalLM(config)


def bart() -> PreTrainedModel:
    """The decoder alone; its positions count left padding."""
    config = BartConfig(
        vocab_size=VOCABULARY, d_model=32, decoder_layers=2, decoder_ffn_dim=48, decoder_attention_heads=4, dropout=0.0,
        max_position_embeddings=128, init_std=0.3, is_decoder=True, is_encoder_decoder=False, **SPECIAL,
    )  # fmt: skip
    return BartForCausalLM(config)


def short_window() -> PreTrainedModel:
    """A sliding window of four tokens."""
    return MistralForCausalLM(MistralConfig(**GROUPED, sliding_window=4))


FAST: list[Callable[[], PreTrainedModel]] = [llama, gpt2, qwen2, gemma2, opt, cohere, granite]
STATE_SPACE: list[Callable[[], PreTrainedModel]] = [mamba, mamba2, rwkv, jamba, falcon_h1, bamba]
PLAIN: list[Callable[[], PreTrainedModel]] = [bloom, *STATE_SPACE, gpt_neo, bart, short_window]


def backbone(architecture: Callable[[], PreTrainedModel] = llama, seed: int = 0) -> Backbone:
    """Builds a random model of an architecture, without dropout."""
    torch.manual_seed(seed)
    return Backbone(architecture().eval(), characters())


def sequence(length: int, seed: int) -> np.ndarray:
    """Generates random tokens, none of them special."""
    return np.random.default_rng(seed).integers(3, VOCABULARY, length).astype(np.int32)
