"""Load-time check that the fast path reproduces a model's own outputs."""

import logging
from dataclasses import replace

import numpy as np
import torch

from llmrec.backbones.adapters import perturbed_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.backbones.positions import position_limit
from llmrec.backbones.pretrained import vocabulary_size
from llmrec.backbones.saved_files import first_line
from llmrec.backbones.trained_rows import row_tokens
from llmrec.errors import InputError

logger = logging.getLogger(__name__)
PLAIN_PATH = "it runs one sequence per branch: same results, but slower"
"""End of the warning about a model that fails a check."""
MAX_CACHE_COLUMNS = 4096
"""Largest cache that is tried. Models whose attention reads a table by position have fewer positions than that."""


def probe(backbone: Backbone, longest: int, window: int | None) -> None:
    """Checks the fast path against the model's own forward pass and sets `backbone.uses_plain_path` if they differ.

    It compares branches with plain sequences, logits from the head with the model's own logits, and decoding with a
    cache with decoding without one. If any of them differs, a warning names the model. An adapter is perturbed during
    the check, since a fresh adapter does not change the outputs, and restored afterwards.

    Args:
        backbone: The model.
        longest: Number of tokens of the longest row.
        window: The model's sliding attention window; None if it has none. Rows must not be longer, because llmrec's
            masks do not implement a window.

    Raises:
        InputError: If the model cannot be run or is not causal: it would see the tokens that it has to predict.
    """
    training, autocast, failed = backbone.training, backbone.autocast_dtype, None
    backbone.eval()
    # The check runs in the data type of the weights: in float32, rounding errors hide fewer differences.
    backbone.autocast_dtype = None
    _check_causal(backbone)
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
        reason = f"gives other logits for branches than for plain sequences (relative difference {difference:.2g})"
    elif window is not None and window < longest:
        reason = f"attends to only {window} preceding tokens, fewer than backbone.max_length={longest}"
    backbone.uses_plain_path = reason is not None
    if reason:
        name = type(backbone.causal_lm).__name__
        logger.warning("%s %s; %s", name, reason, PLAIN_PATH)


def _check_causal(backbone: Backbone) -> None:
    """Raises InputError if the logits of equal beginnings depend on the tokens after them."""
    length = 8
    tokens = np.random.default_rng(0).integers(0, vocabulary_size(backbone.causal_lm), (2, length))
    tokens[1, : length // 2] = tokens[0, : length // 2]
    name = type(backbone.causal_lm).__name__
    try:
        with torch.no_grad():
            logits = _own_logits(backbone, tokens)[:, : length // 2]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot be run on tokens alone ({first_line(error)}). Choose another model") from error
    if (logits[0] - logits[1]).abs().max() > tolerance(backbone) * logits.std():
        raise InputError(
            f"{name} is not causal: its predictions depend on the tokens that follow. Give a model that was trained "
            "as a causal LM"
        )


def tolerance(backbone: Backbone) -> float:
    """Returns the largest error of logits that rounding explains, relative to their standard deviation."""
    types = {backbone.autocast_dtype or torch.float32, *(weight.dtype for weight in backbone.parameters())}
    # With bfloat16's 8-bit mantissa, rounding over thirty layers changes logits by 4% to 6% in SmolLM2-135M as it is
    # published and by 11% after tuning at a learning rate of 1e-3. Wrong masks or positions change them by over 50%.
    return 1e-3 if types == {torch.float32} else 2.5e-1


def _difference(backbone: Backbone) -> float:
    """Returns the largest relative error of the fast path over all comparisons."""
    generator = np.random.default_rng(0)
    vocabulary = vocabulary_size(backbone.causal_lm)
    prompts = [generator.integers(0, vocabulary, n) for n in (7, 5)]
    branches = [[generator.integers(0, vocabulary, n) for n in row] for row in ((3, 4, 2), (1, 3))]
    prompts[1][:3] = prompts[0][:3]
    packed, starts = pack(prompts, branches, shared_columns=3)
    positions = np.concatenate(
        [predictor_columns(start, np.arange(len(branch) + 1)) for row, row_starts in zip(branches, starts, strict=True)
         for branch, start in zip(row, row_starts, strict=True)]
    )  # fmt: skip
    packed, index = packed.to(backbone.device), torch.from_numpy(positions).to(backbone.device)
    backbone.uses_plain_path = True
    plain = backbone.encode(packed, index).logits()
    backbone.uses_plain_path = False
    encoded = backbone.encode(packed, index)
    unshared = backbone.encode(replace(packed, shared_columns=0), index)
    some = torch.arange(0, vocabulary, 3, device=backbone.device)
    new = row_tokens(backbone.model).to(backbone.device)
    return max(
        # Among all tokens, a few new ones would hardly count.
        _relative(encoded.logits(new), plain[:, new]) if len(new) else 0.0,
        _relative(encoded.logits(), plain),
        _relative(unshared.logits(), plain),
        _relative(encoded.logits(some), plain[:, some]),
        _cached_difference(backbone, prompts[0], branches[0][:2]),
    )


def _relative(logits: torch.Tensor, plain: torch.Tensor) -> float:
    """Returns the root mean square error of logits, relative to their standard deviation."""
    return float((logits - plain).square().mean().sqrt() / plain.std())


def _cached_difference(backbone: Backbone, prompt: np.ndarray, branches: list[np.ndarray]) -> float:
    """Returns the relative error of two beams, decoded for two steps with a cache, against plain sequences.

    The cache holds further columns that neither beam sees, as if of other beams, so that it is wider than the model's
    number of positions.
    """
    device = backbone.device
    others = min(position_limit(backbone.causal_lm) or MAX_CACHE_COLUMNS, MAX_CACHE_COLUMNS)
    cache = AppendCache(layer_count(backbone), rows=1, capacity=len(prompt) + others + 4)
    backbone.extend(
        cache, torch.from_numpy(prompt)[None].to(device), torch.arange(len(prompt), device=device)[None], None
    )
    filled_layers = [layer for layer in cache.append_layers if layer.is_initialized]
    if not filled_layers:
        raise RuntimeError("it caches no keys and values")
    for layer in filled_layers:
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
    # Without a mask, transformers would warn about a random token that happens to be the pad token.
    return backbone.model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits.float()


def layer_count(backbone: Backbone) -> int:
    """Returns the number of layers, each of which has keys and values to cache."""
    return int(backbone.causal_lm.config.get_text_config().num_hidden_layers)
