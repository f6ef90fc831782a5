"""Relevance to the auxiliary text: how likely a title is after the prompt without any history, computed once.

The history-free prompt is one for the whole dataset, so relevance belongs to a title, not to a row. Kept by the content
of everything that it depends on: prompt, titles as tokens, tokenizer, weights.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from llmrec.atomic import atomic_file
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.scoring import log_probabilities
from llmrec.catalogue.titles import tokenizer_hash
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.data_module import NextItemData

logger = logging.getLogger(__name__)


def title_relevance(
    backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray], cache_dir: Path | None
) -> list[np.ndarray]:
    """log P(y_t | history-free prompt, y_<t) of each title's tokens under the backbone: float32 [length] each.

    prompt: int [length]; titles: int [length] each, distinct, with EOS; cache_dir: None computes it anew. Raises
    InputError for a cached file that is damaged or is not of what its name says. Source: arXiv 2510.10978 by a
    secondary source (the probability of the target with the history masked); full vocabulary: our reading.
    """
    if cache_dir is None:
        return _compute(backbone, prompt, titles)
    identity = _identity(backbone, prompt, titles)
    path = cache_dir / "relevance" / f"{identity[:32]}.safetensors"
    lengths = np.array([len(title) for title in titles])
    if path.exists():
        return np.split(_read(path, identity, int(lengths.sum())), np.cumsum(lengths)[:-1])
    found = _compute(backbone, prompt, titles)
    with atomic_file(path) as temporary:
        save_file({"log_probability": np.concatenate(found)}, temporary, {"identity": identity})
    return found


def catalogue_relevance(backbone: Backbone, data: "NextItemData", cache_dir: Path) -> list[np.ndarray]:
    """`title_relevance` of every distinct title of a dataset, in their order; data: for the backbone's tokenizer."""
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    return title_relevance(backbone, data.prompt_tokenizer.histories([[]]).of(0), titles, cache_dir)


def _compute(backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray]) -> list[np.ndarray]:
    logger.info("relevance of %s titles to the prompt without history", f"{len(titles):,}")
    with tqdm(total=len(titles), desc="relevance", unit="title", leave=False, disable=None) as bar:
        return log_probabilities(backbone, [prompt] * len(titles), titles, len(prompt) - 1, bar.update)


def _identity(backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256(tokenizer_hash(backbone.tokenizer).encode())
    for tokens in (prompt, *titles):
        digest.update(tokens.astype(np.int64).tobytes() + b"|")
    digest.update(repr(_settings(backbone)).encode())
    for name, weight in backbone.weights_in_use():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _settings(backbone: Backbone) -> list[object]:
    """What gives equal weights another meaning: the model's config but for where it lies, an adapter's scaling."""
    config = backbone.causal_lm.config.to_dict()
    kept = {key: value for key, value in config.items() if key != "transformers_version" and key[0] != "_"}
    layers = [module for module in backbone.modules() if isinstance(module, LoraLayer) and not module.disable_adapters]
    return [sorted(kept.items()), [layer.scaling for layer in layers]]


def _read(path: Path, identity: str, tokens: int) -> np.ndarray:
    remedy = "delete it; it is made again"
    try:
        with safe_open(path, framework="numpy") as file:
            found: np.ndarray = file.get_tensor("log_probability")
            stored = (file.metadata() or {}).get("identity")
    except (SafetensorError, OSError) as error:
        raise InputError(f"the relevance cache {path} cannot be read ({error}): {remedy}") from error
    if stored != identity or found.shape != (tokens,):
        raise InputError(f"the relevance cache {path} is of other weights, titles or another prompt: {remedy}")
    return found
