"""A check at load: does the catalogue's beam search run to its end with this model?"""

import logging

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.pretrained import first_line, vocabulary_size
from llmrec.backbones.probe import PLAIN_PATH, tolerance
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix
from llmrec.errors import InputError

logger = logging.getLogger(__name__)
SHARED = 3
"""Tokens that both prompts begin with."""


def probe_decoding(backbone: Backbone) -> None:
    """Searches a catalogue of a few random titles on both paths, the one through the cache where the probe chose it.

    Sets backbone.plain, with a warning that names the model, where the cached search fails or scores the titles
    otherwise. Raises InputError for a model that cannot be searched plainly either.
    """
    training, cached = backbone.training, not backbone.plain
    name = type(backbone.causal_lm).__name__
    backbone.eval()
    backbone.plain = True
    try:
        plain = _title_scores(backbone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise InputError(f"{name} cannot decode titles ({first_line(error)}): take another model") from error
    if cached:
        backbone.plain = False
        reason = _departure(backbone, plain)
        if reason:
            backbone.plain = True
            logger.warning("%s %s; %s", name, reason, PLAIN_PATH)
    backbone.train(training)


def _departure(backbone: Backbone, plain: torch.Tensor) -> str | None:
    """What is wrong with the cached search, None if nothing; plain: the scores without a cache."""
    try:
        scores = _title_scores(backbone)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"cannot decode titles with a cache ({first_line(error)})"
    difference = float((scores - plain).square().mean().sqrt() / plain.std())
    # A score is the sum of several tokens' log-probabilities, whose rounding adds up.
    if difference <= 3 * tolerance(backbone):
        return None
    return f"scores titles with a cache otherwise than without (relative difference {difference:.2g})"


@torch.inference_mode()
def _title_scores(backbone: Backbone) -> torch.Tensor:
    """The score of every title after two prompts, float32 [2, titles]."""
    generator = np.random.default_rng(0)
    tokens = generator.permutation(min(vocabulary_size(backbone.causal_lm), 1000))
    first, second, end = tokens[:3]
    titles = [[first, second, end], [first, second, first, end], [first, end], [second, *[first] * 4, end]]
    offsets = np.cumsum([0, *map(len, titles)], dtype=np.int64)
    trie = build_trie(TitleTokens(np.concatenate(titles).astype(np.int32), offsets))[0].to(backbone.device)
    prompts = [np.concatenate([tokens[:SHARED], generator.choice(tokens, length)]) for length in (4, 2)]
    with backbone.autocast():
        shared = SharedPrefix(backbone, prompts[0][:SHARED])
        leaves, scores = search(backbone, trie, prompts, shared, BeamSearch(beams=len(titles)))
    return scores.gather(1, leaves.argsort(1))
