"""Titles as vectors: how alike two titles are in the eyes of a language model, or of a sentence encoder."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.pretrained import first_line
from llmrec.backbones.ranks import divided
from llmrec.backbones.scoring import COLUMNS, batches_by_length
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.datasets.data_module import NextItemData

logger = logging.getLogger(__name__)


def title_embeddings(backbone: Backbone, data: "NextItemData") -> np.ndarray:
    """Embeds each distinct title as the mean of its tokens' last hidden states after the prompt without history.

    Source: our reading.

    Args:
        backbone: The model.
        data: The dataset for its tokenizer.

    Returns:
        float32 [titles, hidden size], less their mean and of length 1, so that a product is a cosine: what all titles
        have in common, which is most of a language model's states, tells none from another.
    """
    prompt = data.prompt_tokenizer.histories([[]]).of(0)
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    logger.info("embedding %s titles", f"{len(titles):,}")
    return centred(divided(len(titles), lambda mine: _embed(backbone, prompt, [titles[title] for title in mine])))


def sentence_embeddings(folder: Path, titles: list[str], device: str) -> np.ndarray:
    """Embeds titles with a sentence-transformers model, computed in float32.

    Args:
        folder: Of the saved model.
        titles: The texts.
        device: Where it computes.

    Returns:
        float32 [titles, size], as `title_embeddings`.

    Raises:
        InputError: Without the package sentence-transformers, and for a model that cannot be opened.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError("it needs sentence-transformers: pip install 'llmrec[sentence]'") from error
    try:
        _refuse_own_modules(folder)
        model = SentenceTransformer(str(folder), device=device, trust_remote_code=False).float()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be opened: {first_line(error)}") from error
    logger.info("embedding %s titles", f"{len(titles):,}")
    return centred(np.asarray(model.encode(titles, show_progress_bar=False, convert_to_numpy=True), dtype=np.float32))


def _refuse_own_modules(folder: Path) -> None:
    """Refuses a model with modules of its own, whose code older versions of sentence-transformers run."""
    file = folder / "modules.json"
    for module in json.loads(file.read_text(encoding="utf-8")) if file.is_file() else ():
        if not str(module["type"]).startswith("sentence_transformers."):
            raise InputError(
                f"{file}: {module['type']} is code that comes with the model, which is not run. "
                "Give an encoder of the modules of sentence-transformers alone"
            )


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
