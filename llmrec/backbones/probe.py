"""A check at load: does the fast path reproduce this very model?"""

import logging
from dataclasses import replace

import numpy as np
import torch

from llmrec.backbones.adapters import perturbed_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import pack, predictor_columns
from llmrec.backbones.pretrained import first_line, vocabulary_size
from llmrec.errors import InputError

logger = logging.getLogger(__name__)


def probe(backbone: Backbone, longest: int, window: int | None) -> None:
    """Compares branches with plain sequences, head(hidden) with the model's own logits, the cache with no cache.

    Sets backbone.plain, with a warning that names the model, where any differs: right but slow beats fast but wrong.
    An adapter is moved for it, since a fresh one changes nothing, and put back.
    longest: tokens of the longest row; window: the model's sliding attention window, which a row may not outgrow, for
    our masks know no window. Raises InputError for a model that reads ahead: it would be shown what it is to predict.
    """
    training, failed = backbone.training, None
    backbone.eval()
    _refuse_reading_ahead(backbone)
    try:
        with torch.no_grad(), perturbed_adapter(backbone.model):
            difference = _difference(backbone)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        failed = f"cannot take branches of a prompt ({first_line(error)})"
    finally:
        backbone.train(training)
    reason = failed
    if failed is None and not difference <= _tolerance(backbone):
        reason = f"takes branches of a prompt otherwise than plain sequences (relative difference {difference:.2g})"
    elif window is not None and window < longest:
        reason = f"sees only {window} tokens back, fewer than backbone.max_length={longest}"
    backbone.plain = reason is not None
    if reason:
        name = type(backbone.causal_lm).__name__
        logger.warning("%s %s; it runs one sequence a branch: the same results, slower", name, reason)


def _refuse_reading_ahead(backbone: Backbone) -> None:
    length = 8
    tokens = np.random.default_rng(0).integers(0, vocabulary_size(backbone.causal_lm), (2, length))
    tokens[1, : length // 2] = tokens[0, : length // 2]
    with torch.no_grad():
        before = _own_logits(backbone, tokens)[:, : length // 2]
    if (before[0] - before[1]).abs().max() > _tolerance(backbone) * before.std():
        raise InputError(
            f"{type(backbone.causal_lm).__name__} is not causal: what it predicts depends on the tokens that follow. "
            "Give a model that was trained as a causal LM"
        )


def _tolerance(backbone: Backbone) -> float:
    # Relative to the spread of the logits: an 8-bit mantissa over a few layers moves them by some per cent.
    return 1e-3 if backbone.causal_lm.dtype == torch.float32 else 1e-1


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
    spread = plain.std()
    differences = [
        (encoded.logits() - plain).abs().max() / spread,
        (unshared.logits() - plain).abs().max() / spread,
        (encoded.logits(some) - plain[:, some]).abs().max() / spread,
        _cached_difference(backbone, prompts[0], branches[0][:2]) / spread,
    ]
    return float(torch.stack(differences).max())


def _cached_difference(backbone: Backbone, prompt: np.ndarray, branches: list[np.ndarray]) -> torch.Tensor:
    """Two beams on one prompt, their first two tokens appended step by step, against the plain sequences."""
    device = backbone.device
    cache = AppendCache(layer_count(backbone), rows=1, capacity=len(prompt) + 4)
    backbone.extend(
        cache, torch.from_numpy(prompt)[None].to(device), torch.arange(len(prompt), device=device)[None], None
    )
    visible = torch.ones((1, 2, len(prompt)), dtype=torch.bool, device=device)
    for step in range(2):
        tokens = torch.tensor([[branch[step] for branch in branches]], device=device)
        visible = torch.cat([visible, torch.eye(2, dtype=torch.bool, device=device)[None]], dim=2)
        positions = torch.full_like(tokens, len(prompt) + step)
        hidden = backbone.extend(cache, tokens, positions, visible)
    cached = backbone.head(hidden[0], None)
    plain = _own_logits(backbone, np.stack([np.concatenate([prompt, branch[:2]]) for branch in branches]))
    return (cached - plain[:, -1]).abs().max()


def _own_logits(backbone: Backbone, sequences: np.ndarray) -> torch.Tensor:
    tokens = torch.from_numpy(sequences).to(backbone.device)
    # Without a mask, transformers warns of a random token that happens to be the pad token.
    return backbone.model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False).logits.float()


def layer_count(backbone: Backbone) -> int:
    """Number of layers that keep keys and values."""
    return int(backbone.causal_lm.config.get_text_config().num_hidden_layers)
