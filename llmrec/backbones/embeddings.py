"""Titles as vectors: how alike two titles are in the eyes of a language model, or of a sentence encoder."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.kept import content_hash, kept
from llmrec.backbones.packing import pack
from llmrec.backbones.ranks import divided
from llmrec.backbones.scoring import COLUMNS, batches_by_length
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.data_module import NextItemData

logger = logging.getLogger(__name__)


def title_embeddings(backbone: Backbone, data: "NextItemData", cache_dir: Path) -> np.ndarray:
    """Each distinct title as the mean of its tokens' last hidden states after the prompt without history.

    float32 [titles, hidden size], less their mean and of length 1, so that a product is a cosine: what all titles have
    in common, which is most of a language model's states, says nothing. Kept by content. Source: our reading.
    """
    prompt = data.prompt_tokenizer.histories([[]]).of(0)
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    shape = (len(titles), backbone.causal_lm.config.get_text_config().hidden_size)
    identity = content_hash(backbone, (prompt, *titles), "mean of hidden states")

    def embed() -> np.ndarray:
        logger.info("embedding %s titles", f"{len(titles):,}")
        return divided(len(titles), lambda mine: _embed(backbone, prompt, [titles[title] for title in mine]))

    return centred(kept(cache_dir / "embeddings", identity, shape, embed, "embedding"))


def sentence_embeddings(name: str, titles: list[str], cache_dir: Path, device: str) -> np.ndarray:
    """Each title as a sentence-transformers model sees it: float32 [titles, size], as `title_embeddings`.

    name: a hub name or a folder. Raises InputError without the package, and for a model that cannot be opened. Kept by
    the folder's content or the hub name, and the titles.
    """
    digest = hashlib.sha256(f"{name}\n".encode())
    for file in sorted(file for file in Path(name).rglob("*") if file.is_file()):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    for title in titles:
        digest.update(title.encode("utf-8", "surrogatepass") + b"\0")

    def embed() -> np.ndarray:
        return np.asarray(_sentence_encoder(name, device)(titles), dtype=np.float32)

    return centred(kept(cache_dir / "embeddings", digest.hexdigest(), (len(titles), None), embed, "embedding"))


def centred(vectors: np.ndarray) -> np.ndarray:
    """The vectors less their mean, of length 1 (0 stays 0): float32 [n, size]."""
    moved = vectors - vectors.mean(axis=0, dtype=np.float64)
    return (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _embed(backbone: Backbone, prompt: np.ndarray, titles: list[np.ndarray]) -> np.ndarray:
    training = backbone.training
    backbone.eval()
    lengths = np.array([len(prompt) + len(title) for title in titles])
    embedded = np.zeros((len(titles), backbone.causal_lm.config.get_text_config().hidden_size), dtype=np.float32)
    with (
        torch.inference_mode(),
        tqdm(total=len(titles), desc="embeddings", unit="title", leave=False, disable=None) as bar,
    ):
        for rows in batches_by_length(lengths, COLUMNS[backbone.device.type]):
            embedded[rows] = _means(backbone, prompt, [titles[row] for row in rows])
            bar.update(len(rows))
    backbone.train(training)
    return embedded


def _means(backbone: Backbone, prompt: np.ndarray, titles: list[np.ndarray]) -> np.ndarray:
    packed, _ = pack([prompt] * len(titles), [[title] for title in titles], len(prompt) - 1)
    at = torch.nonzero(packed.branch.flatten() == 1)[:, 0]
    row = torch.from_numpy(np.repeat(np.arange(len(titles)), [len(title) for title in titles]))
    hidden = backbone.hidden(packed.to(backbone.device), at.to(backbone.device)).float().cpu()
    summed = torch.zeros((len(titles), hidden.shape[1])).index_add(0, row, hidden)
    return (summed / torch.bincount(row)[:, None]).numpy()


def _sentence_encoder(name: str, device: str) -> Callable[[list[str]], np.ndarray]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"evaluation.sentence_model={name} needs sentence-transformers: pip install 'llmrec[sentence]'"
        ) from error
    try:
        model = SentenceTransformer(name, device=device)
    except (OSError, ValueError) as error:
        raise InputError(f"evaluation.sentence_model={name} cannot be opened: {str(error).splitlines()[0]}") from error
    return lambda titles: model.encode(titles, show_progress_bar=False, convert_to_numpy=True)
