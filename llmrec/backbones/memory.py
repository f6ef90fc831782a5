"""How much memory there is, and what a model's passes take of it: estimates from its shape."""

import os

import torch
from transformers import PretrainedConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.probe import layer_count
from llmrec.processes.slots import SHARING_JOBS

TOKENS = {"cpu": 4_096, "cuda": 32_768}
"""Tokens of a micro-batch at most: more of them do not make a step faster."""
SENSIBLE_TOKENS = {"cpu": 512, "cuda": 8_192}
"""Tokens of a micro-batch that keep the device busy: activations are recomputed only where fewer would fit."""
SHARE = 0.6
"""Of the free memory that a pass may plan with; the rest is for what the estimate leaves out."""
CPU_SHARE = 0.5
"""Of a machine's memory: it may have other work."""
TRAINED_WEIGHT_BYTES = 12
"""Of a trained float32 weight: its gradient and AdamW's two moments, which the first step allocates."""
LOGITS_EVERY = 8
"""Tokens of a row for each position that is projected to the vocabulary (Books, SFT: 9)."""


def free_bytes(device: torch.device) -> int:
    """Returns the bytes that new tensors may take.

    On a GPU these are the free ones and those that torch's allocator holds unused. Where a launcher runs several jobs
    on a device, they are at most this job's share: all would plan with what is free when they start.
    """
    jobs = int(os.environ.get(SHARING_JOBS, "1"))
    if device.type != "cuda":
        return int(CPU_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / jobs)
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    return max(0, min(free + torch.cuda.memory_reserved(device), total // jobs) - allocated)


def fitting_tokens(backbone: Backbone, checkpointing: bool, shards: int) -> int:
    """Returns how many tokens of a training micro-batch the free memory holds, at most TOKENS.

    Args:
        backbone: The model, on the device that trains it.
        checkpointing: Whether layers recompute their activations in the backward pass.
        shards: Devices that gradients and optimizer state are divided among.
    """
    fits = int(_for_activations(backbone, shards) / activation_bytes(backbone, checkpointing))
    return min(fits, TOKENS[backbone.device.type])


def needs_checkpointing(backbone: Backbone, tokens: int, shards: int) -> bool:
    """Whether the activations of a micro-batch of so many tokens do not fit into the free memory.

    Args:
        backbone: The model, on the device that trains it.
        tokens: Of the largest micro-batch.
        shards: Devices that gradients and optimizer state are divided among.
    """
    return tokens * activation_bytes(backbone, checkpointing=False) > _for_activations(backbone, shards)


def _for_activations(backbone: Backbone, shards: int) -> float:
    trained = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    return SHARE * max(0, free_bytes(backbone.device) - TRAINED_WEIGHT_BYTES * trained / shards)


def attention_widths(config: PretrainedConfig) -> tuple[int, int]:
    """Returns the widths of a layer's queries and of its keys: zeros for a model without attention, such as Mamba."""
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 0, 0
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return heads * size, (getattr(config, "num_key_value_heads", None) or heads) * size


def activation_bytes(backbone: Backbone, checkpointing: bool) -> float:
    """Estimates the bytes that a token's activations take between forward and backward pass.

    Counted for a pre-norm transformer with a gated MLP: inputs of the two norms in float32, and inputs of each matrix
    product, queries, keys, values and the MLP's three inner activations in the type of the products. With checkpointing
    only the layers' inputs are kept, and one layer at a time is recomputed.
    """
    config = backbone.causal_lm.config.get_text_config()
    hidden, layers = config.hidden_size, layer_count(backbone)
    queries, keys = attention_widths(config)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    size = (backbone.autocast_dtype or backbone.causal_lm.dtype).itemsize
    layer = size * (6 * hidden + 3 * queries + 4 * keys + 4 * inner) + 4 * 4 * hidden
    # Logits, their float32 copy and its gradient. The plain path computes them at every position.
    head = (size + 4 + 4) * config.vocab_size / (1 if backbone.plain else LOGITS_EVERY)
    return layer + layers * size * hidden + head if checkpointing else layers * layer + head
