"""Load-time check that beam search works with a model, and gives the same scores with and without a cache."""

import logging

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.pretrained import vocabulary_size
from llmrec.backbones.probe import PLAIN_PATH, tolerance
from llmrec.backbones.saved_files import first_line
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix
from llmrec.errors import InputError

logger = logging.getLogger(__name__)
SHARED_TOKENS = 3
"""Number of tokens that both prompts begin with."""


def check_decoding(backbone: Backbone) -> None:
    """Checks that the model can search a catalogue of a few random titles.

    The search runs without a cache and, unless the backbone is on the plain path already, with one. If the cached
    search fails or scores the titles differently, sets `backbone.uses_plain_path` and logs a warning that names
    the model.

    Raises:
        InputError: If the search fails on the plain path too.
    """
    training, check_cache = backbone.training, not backbone.uses_plain_path
    name = type(backbone.causal_lm).__name__
    backbone.eval()
    backbone.uses_plain_path = True
    try:
        plain_scores = _title_scores(backbone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot decode titles ({first_line(error)}). Choose another model") from error
    if check_cache:
        backbone.uses_plain_path = False
        reason = _cache_failure(backbone, plain_scores)
        if reason:
            backbone.uses_plain_path = True
            logger.warning("%s %s; %s", name, reason, PLAIN_PATH)
    backbone.train(training)


def _cache_failure(backbone: Backbone, plain_scores: torch.Tensor) -> str | None:
    """Describes what is wrong with the cached search; None if nothing is."""
    try:
        scores = _title_scores(backbone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"cannot decode titles with a cache ({first_line(error)})"
    difference = float((scores - plain_scores).square().mean().sqrt() / plain_scores.std())
    # A score is a sum of several tokens' log-probabilities, whose rounding errors accumulate.
    if difference <= 3 * tolerance(backbone):
        return None
    return f"scores titles differently with a cache than without (relative difference {difference:.2g})"


@torch.inference_mode()
def _title_scores(backbone: Backbone) -> torch.Tensor:
    """Returns the score of every title after each of two prompts, float32 `[2, titles]`."""
    generator = np.random.default_rng(0)
    tokens = generator.permutation(min(vocabulary_size(backbone.causal_lm), 1000))
    first, second, end = tokens[:3]
    titles = [[first, second, end], [first, second, first, end], [first, end], [second, *[first] * 4, end]]
    offsets = np.cumsum([0, *map(len, titles)], dtype=np.int64)
    trie = build_trie(TitleTokens(np.concatenate(titles).astype(np.int32), offsets))[0].to(backbone.device)
    prompts = [np.concatenate([tokens[:SHARED_TOKENS], generator.choice(tokens, length)]) for length in (4, 2)]
    with backbone.autocast():
        shared = SharedPrefix(backbone, prompts[0][:SHARED_TOKENS])
        leaves, scores = search(backbone, trie, prompts, shared, BeamSearch(beams=len(titles)))
    return scores.gather(1, leaves.argsort(1))
