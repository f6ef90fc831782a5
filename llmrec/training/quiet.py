"""Silences messages of libraries on which a user of llmrec cannot act."""

import logging
import warnings

from transformers.utils import logging as transformers_logging


def silence_libraries() -> None:
    """Silences tips, loading bars and warnings about the internals of libraries."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for name in ("lightning.pytorch.utilities.rank_zero", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    # The main process builds batches faster than worker processes would start.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Logged values have been summed over the ranks already.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # A run on a node of a cluster may be started by torchrun or as one process.
    warnings.filterwarnings("ignore", message=".*The `srun` command is available on your system but is not used.*")
    # The oldest supported version of transformers does not have the new names yet.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
