"""Free memory of a device, and estimates of what a training pass needs, from the model's shape."""

import os

import torch
from transformers import PretrainedConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.probe import layer_count
from llmrec.processes.slots import sharing_jobs

MAX_TOKENS = {"cpu": 4_096, "cuda": 32_768}
"""Largest number of tokens in a micro-batch; more do not make a step faster."""
SENSIBLE_TOKENS = {"cpu": 512, "cuda": 8_192}
"""Number of tokens in a micro-batch that uses the device fully. Activations are recomputed only if fewer would fit."""
FREE_MEMORY_FRACTION = 0.6
"""Fraction of the free memory that estimates may plan with; the rest is for what they leave out."""
CPU_MEMORY_FRACTION = 0.5
"""Fraction of the machine's memory that llmrec may use on a CPU, since the machine may have other work."""
TRAINED_WEIGHT_BYTES = 12
"""Bytes per trained float32 weight for its gradient and AdamW's two moments, which the first step allocates."""
TOKENS_PER_LOGIT_POSITION = 8
"""Number of tokens per position that is projected to the vocabulary (9 for SFT on Books)."""


def free_bytes(device: torch.device) -> int:
    """Returns the number of bytes that new tensors may take.

    On a GPU this is the free memory plus what torch's allocator has reserved but does not use. If a launcher runs
    several jobs per device, it is at most this job's share of the device, because otherwise all jobs would plan with
    the memory that is free when they start.
    """
    jobs = sharing_jobs()
    if device.type != "cuda":
        return int(CPU_MEMORY_FRACTION * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / jobs)
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    return max(0, min(free + torch.cuda.memory_reserved(device), total // jobs) - allocated)


def fitting_tokens(backbone: Backbone, checkpointing: bool, shards: int) -> int:
    """Returns the number of tokens of a training micro-batch that fit into the free memory, at most MAX_TOKENS.

    Args:
        backbone: The model, on the device that trains it.
        checkpointing: Whether activations are recomputed in the backward pass (gradient checkpointing).
        shards: Number of devices that gradients and optimizer state are sharded over.
    """
    tokens = int(_activation_budget_bytes(backbone, shards) / activation_bytes(backbone, checkpointing))
    return min(tokens, MAX_TOKENS[backbone.device.type])


def needs_checkpointing(backbone: Backbone, tokens: int, shards: int) -> bool:
    """Returns whether the activations of a micro-batch do not fit into the free memory without recomputation.

    Args:
        backbone: The model, on the device that trains it.
        tokens: Number of tokens of the largest micro-batch.
        shards: Number of devices that gradients and optimizer state are sharded over.
    """
    return tokens * activation_bytes(backbone, checkpointing=False) > _activation_budget_bytes(backbone, shards)


def _activation_budget_bytes(backbone: Backbone, shards: int) -> float:
    trained = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    return FREE_MEMORY_FRACTION * max(0, free_bytes(backbone.device) - TRAINED_WEIGHT_BYTES * trained / shards)


def attention_widths(config: PretrainedConfig) -> tuple[int, int]:
    """Returns the widths of a layer's queries and keys; zeros for a model without attention, such as Mamba."""
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        return 0, 0
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return heads * size, (getattr(config, "num_key_value_heads", None) or heads) * size


def activation_bytes(backbone: Backbone, checkpointing: bool) -> float:
    """Estimates the bytes per token of the activations that are kept for the backward pass.

    The estimate assumes a pre-norm transformer with a gated MLP. Per layer it counts the inputs of the two norms in
    float32 and, in the data type of matrix products, the inputs of each product, queries, keys, values and the MLP's
    three inner activations. With gradient checkpointing only the layers' inputs are kept, and one layer at a time is
    recomputed.

    Args:
        backbone: The model.
        checkpointing: Whether activations are recomputed in the backward pass (gradient checkpointing).
    """
    config = backbone.causal_lm.config.get_text_config()
    hidden, layers = config.hidden_size, layer_count(backbone)
    queries, keys = attention_widths(config)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    size = (backbone.autocast_dtype or backbone.causal_lm.dtype).itemsize
    layer = size * (6 * hidden + 3 * queries + 4 * keys + 4 * inner) + 4 * 4 * hidden
    # Logits, their float32 copy and its gradient. The plain path computes logits at every position.
    head = (size + 4 + 4) * config.vocab_size / (1 if backbone.uses_plain_path else TOKENS_PER_LOGIT_POSITION)
    return layer + layers * size * hidden + head if checkpointing else layers * layer + head
