"""How long a sequence a model can take: a run's rows must not be longer."""

from torch import nn
from transformers import PreTrainedModel

from llmrec.errors import InputError


def check_positions(model: PreTrainedModel, max_length: int) -> None:
    """Raises InputError when a row of max_length tokens takes more positions than the model has."""
    limit = position_limit(model)
    if limit is not None and limit < max_length:
        raise InputError(
            f"backbone.max_length={max_length}: {type(model).__name__} has {limit} positions only. Set "
            f"backbone.max_length={limit}"
        )


def position_limit(model: PreTrainedModel) -> int | None:
    """The number of positions that a model was made for; None where its config sets no limit.

    Learned positions end there. Rotary ones can be computed further on, but the model was not trained on them.
    """
    config = model.config.get_text_config()
    # Configs with other names for it, such as n_positions, map this one to their own; MPT does not.
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    if limit is None or limit < 0:
        return None
    # RoBERTa and models like it give no token the first rows of their table, up to the padding's.
    unused = (
        module.padding_idx + 1
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings") and module.padding_idx is not None
    )
    return int(limit) - max(unused, default=0)
