"""The maximum sequence length of a model, which a run's rows must not exceed."""

from torch import nn
from transformers import PreTrainedModel

from llmrec.errors import InputError


def check_positions(model: PreTrainedModel, max_length: int) -> None:
    """Checks that a model has enough positions for rows of `max_length` tokens.

    Raises:
        InputError: If it has fewer.
    """
    limit = position_limit(model)
    if limit is not None and limit < max_length:
        raise InputError(
            f"backbone.max_length={max_length}: {type(model).__name__} has only {limit} positions. Set "
            f"backbone.max_length={limit}"
        )


def position_limit(model: PreTrainedModel) -> int | None:
    """Returns the number of positions that a model was trained for, or None if its config sets no limit.

    Learned position embeddings do not exist beyond it. Rotary ones can be computed, but the model was not trained with
    them.
    """
    config = model.config.get_text_config()
    # Configs with other names for the limit, such as n_positions, provide this name as an alias; MPT does not.
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    if limit is None or limit < 0:
        return None
    # RoBERTa and similar models use no rows of their position table up to and including the padding index.
    unused = (
        module.padding_idx + 1
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings") and module.padding_idx is not None
    )
    return int(limit) - max(unused, default=0)
