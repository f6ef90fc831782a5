"""Fits a training step into the device's memory by gradient checkpointing and the size of micro-batches."""

import logging

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.memory import SENSIBLE_TOKENS, fitting_tokens, needs_checkpointing
from llmrec.collectives import all_ranks_agree, min_across_ranks
from llmrec.examples.training_data import TrainingData
from llmrec.training.sharded import mesh_shape

logger = logging.getLogger(__name__)


def fit_into_memory(backbone: Backbone, data: TrainingData) -> None:
    """Resolves backbone.gradient_checkpointing=auto and trainer.micro_batch_size=auto.

    Gradient checkpointing costs a second forward pass and rules out shared prompt columns, so it is only enabled if
    micro-batches of a sensible size would not fit otherwise.

    Args:
        backbone: The model, on the device that trains it.
        data: Set up for training. Its `checkpointing` and `micro_batch_tokens` are set here.
    """
    setting, rows = data.config.backbone.gradient_checkpointing, np.arange(len(data.sample_prompts))
    trainer = data.config.trainer
    shards = mesh_shape(trainer.get("nodes", 1), trainer.devices)[-1] if trainer.strategy == "fsdp" else 1
    if setting == "auto":
        tokens = data.micro_batch_rows(rows) * data.max_row_tokens(rows)
        if trainer.micro_batch_size == "auto" and not data.objective.needs_whole_step:
            tokens = SENSIBLE_TOKENS[backbone.device.type]
        tokens = max(tokens, data.max_row_tokens(rows))
        setting = not all_ranks_agree(not needs_checkpointing(backbone, tokens, shards))
        if setting:
            logger.info("gradient checkpointing is on: %s tokens do not fit into memory without it", f"{tokens:,}")
    data.checkpointing = bool(setting)
    if data.checkpointing:
        backbone.causal_lm.gradient_checkpointing_enable({"use_reentrant": False})
    data.micro_batch_tokens = min_across_ranks(fitting_tokens(backbone, data.checkpointing, shards))
