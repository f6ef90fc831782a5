"""A check at load: does the fast path reproduce this very model?"""

import logging
from dataclasses import replace

import numpy as np
import torch

from llmrec.backbones.adapters import perturbed_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.backbones.positions import position_limit
from llmrec.backbones.pretrained import first_line, vocabulary_size
from llmrec.errors import InputError

logger = logging.getLogger(__name__)
PLAIN_PATH = "it runs one sequence a branch: the same results, slower"
"""What follows for a model that does not pass."""
MOST_COLUMNS = 4096
"""Columns of a cache that are tried at most: models whose attention reads a table, by position, have fewer."""


def probe(backbone: Backbone, longest: int, window: int | None) -> None:
    """Compares branches with plain sequences, head(hidden) with the model's own logits, the cache with no cache.

    Sets backbone.plain, with a warning that names the model, where any differs: right but slow beats fast but wrong.
    An adapter is moved for it, since a fresh one changes nothing, and put back.
    longest: tokens of the longest row; window: the model's sliding attention window, which a row may not outgrow, for
    our masks know no window. Raises InputError for a model that reads ahead: it would be shown what it is to predict.
    """
    training, autocast, failed = backbone.training, backbone.autocast_dtype, None
    backbone.eval()
    # In the type of the weights, whose rounding hides less where that is float32.
    backbone.autocast_dtype = None
    _refuse_reading_ahead(backbone)
    try:
        with torch.no_grad(), perturbed_adapter(backbone.model):
            difference = _difference(backbone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        failed = f"cannot take branches of a prompt ({first_line(error)})"
    finally:
        backbone.train(training)
        backbone.autocast_dtype = autocast
    reason = failed
    if failed is None and not difference <= tolerance(backbone):
        reason = f"takes branches of a prompt otherwise than plain sequences (relative difference {difference:.2g})"
    elif window is not None and window < longest:
        reason = f"sees only {window} tokens back, fewer than backbone.max_length={longest}"
    backbone.plain = reason is not None
    if reason:
        name = type(backbone.causal_lm).__name__
        logger.warning("%s %s; %s", name, reason, PLAIN_PATH)


def _refuse_reading_ahead(backbone: Backbone) -> None:
    length = 8
    tokens = np.random.default_rng(0).integers(0, vocabulary_size(backbone.causal_lm), (2, length))
    tokens[1, : length // 2] = tokens[0, : length // 2]
    name = type(backbone.causal_lm).__name__
    try:
        with torch.no_grad():
            before = _own_logits(backbone, tokens)[:, : length // 2]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot be run on tokens alone ({first_line(error)}): take another model") from error
    if (before[0] - before[1]).abs().max() > tolerance(backbone) * before.std():
        raise InputError(
            f"{name} is not causal: what it predicts depends on the tokens that follow. Give a model that was trained "
            "as a causal LM"
        )


def tolerance(backbone: Backbone) -> float:
    """Errors of logits that may be rounding, relative to the logits' spread."""
    types = {backbone.autocast_dtype or torch.float32, *(weight.dtype for weight in backbone.parameters())}
    # An 8-bit mantissa over thirty layers moves them by some four per cent.
    return 1e-3 if types == {torch.float32} else 1e-1


def _difference(backbone: Backbone) -> float:
    generator = np.random.default_rng(0)
    vocabulary = vocabulary_size(backbone.causal_lm)
    prompts = [generator.integers(0, vocabulary, n) for n in (7, 5)]
    branches = [[generator.integers(0, vocabulary, n) for n in row] for row in ((3, 4, 2), (1, 3))]
    prompts[1][:3] = prompts[0][:3]
    packed, starts = pack(prompts, branches, shared=3)
    at = np.concatenate(
        [predictor_columns(s, np.arange(len(b) + 1)) for row, ss in zip(branches, starts, strict=True)
         for b, s in zip(row, ss, strict=True)]
    )  # fmt: skip
    packed, index = packed.to(backbone.device), torch.from_numpy(at).to(backbone.device)
    backbone.plain = True
    plain = backbone.encode(packed, index).logits()
    backbone.plain = False
    encoded = backbone.encode(packed, index)
    unshared = backbone.encode(replace(packed, shared=0), index)
    some = torch.arange(0, vocabulary, 3, device=backbone.device)
    return max(
        _relative(encoded.logits(), plain),
        _relative(unshared.logits(), plain),
        _relative(encoded.logits(some), plain[:, some]),
        _cached_difference(backbone, prompts[0], branches[0][:2]),
    )


def _relative(logits: torch.Tensor, plain: torch.Tensor) -> float:
    """The root mean square of the logits' errors, relative to the logits' spread."""
    return float((logits - plain).square().mean().sqrt() / plain.std())


def _cached_difference(backbone: Backbone, prompt: np.ndarray, branches: list[np.ndarray]) -> float:
    """Two beams on one prompt, their first two tokens appended step by step, against the plain sequences.

    Between them stand columns that neither sees, as if of other beams: more than the model has positions.
    """
    device = backbone.device
    others = min(position_limit(backbone.causal_lm) or MOST_COLUMNS, MOST_COLUMNS)
    cache = AppendCache(layer_count(backbone), rows=1, capacity=len(prompt) + others + 4)
    backbone.extend(
        cache, torch.from_numpy(prompt)[None].to(device), torch.arange(len(prompt), device=device)[None], None
    )
    keeping = [layer for layer in cache.append_layers if layer.is_initialized]
    if not keeping:
        raise RuntimeError("it keeps no keys and values")
    for layer in keeping:
        keys, values = (states.new_zeros((*states.shape[:2], others, states.shape[3])) for states in layer.states)
        layer.update(keys, values)
    visible = torch.arange(len(prompt) + others, device=device).expand(1, 2, -1) < len(prompt)
    for step in range(2):
        tokens = torch.tensor([[branch[step] for branch in branches]], device=device)
        visible = torch.cat([visible, torch.eye(2, dtype=torch.bool, device=device)[None]], dim=2)
        positions = torch.full_like(tokens, len(prompt) + step)
        hidden = backbone.extend(cache, tokens, positions, visible)
    plain = _own_logits(backbone, np.stack([np.concatenate([prompt, branch[:2]]) for branch in branches]))
    return _relative(backbone.head(hidden[0], None), plain[:, -1])


def _own_logits(backbone: Backbone, sequences: np.ndarray) -> torch.Tensor:
    tokens = torch.from_numpy(sequences).to(backbone.device)
    # Without a mask, transformers warns of a random token that happens to be the pad token.
    return backbone.model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits.float()


def layer_count(backbone: Backbone) -> int:
    """Number of layers that keep keys and values."""
    return int(backbone.causal_lm.config.get_text_config().num_hidden_layers)
