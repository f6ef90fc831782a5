"""Silences what libraries say that a user of llmrec can do nothing about."""

import logging
import warnings

from transformers.utils import logging as transformers_logging


def quiet() -> None:
    """Leaves the console to the run: no tips, no loading bars, no warnings about libraries' own internals."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for name in ("lightning.pytorch.utilities.rank_zero", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    # One process builds batches faster than a pool of workers would start.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # What is logged has been summed over the ranks before.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # The new names are not in the oldest transformers that is allowed.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
