"""Embeddings of titles and texts by a language model or a sentence encoder."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.saved_files import first_line
from llmrec.backbones.scoring import BATCH_TOKENS, batches_by_length
from llmrec.collectives import map_across_ranks
from llmrec.errors import InputError

logger = logging.getLogger(__name__)


def title_embeddings(backbone: Backbone, prompt: np.ndarray, titles: Sequence[np.ndarray]) -> np.ndarray:
    """Embeds each distinct title as the mean of its tokens' last hidden states after the history-free prompt.

    The embeddings are centered, because most of a language model's hidden state is common to all titles and does not
    distinguish them. Source: our reading.

    Args:
        backbone: The model.
        prompt: The history-free prompt, int `[length]`.
        titles: Tokens of the distinct titles with EOS, int `[length]` each.

    Returns:
        float32 `[titles, hidden size]`, centered and of unit length, so that dot products are cosine similarities.
    """
    logger.info("embedding %s titles", f"{len(titles):,}")
    return center_and_normalise(
        map_across_ranks(len(titles), lambda rows: _embed(backbone, prompt, [titles[title] for title in rows]))
    )


def text_states(backbone: Backbone, texts: Sequence[str]) -> np.ndarray:
    """Embeds each text as the last hidden state of its last token, under the model without its adapter.

    Source: BIGRec, arXiv 2308.08434, in the official code. An empty text is embedded as EOS (our choice).

    Args:
        backbone: The model.
        texts: The texts, which are tokenized with the special tokens that the tokenizer adds by default.

    Returns:
        float32 `[texts, hidden size]`.
    """
    tokenizer = backbone.tokenizer
    tokens = [np.array(tokenizer(text).input_ids or [tokenizer.eos_token_id], dtype=np.int64) for text in texts]
    embedded = np.zeros((len(texts), backbone.causal_lm.config.get_text_config().hidden_size), dtype=np.float32)
    backbone.eval()
    with torch.inference_mode(), backbone.without_adapter():
        for rows in batches_by_length(np.array(list(map(len, tokens))), BATCH_TOKENS[backbone.device.type]):
            packed, _ = pack([tokens[row] for row in rows], [[] for _ in rows])
            last = np.arange(len(rows)) * packed.tokens.shape[1] + [len(tokens[row]) - 1 for row in rows]
            hidden = backbone.hidden(packed.to(backbone.device), torch.from_numpy(last).to(backbone.device))
            embedded[rows] = hidden.float().cpu().numpy()
    return embedded


def sentence_embeddings(folder: Path, titles: list[str], device: str) -> np.ndarray:
    """Embeds titles with a sentence-transformers model in float32.

    Args:
        folder: The folder of the saved model.
        titles: The titles.
        device: The device to compute on.

    Returns:
        float32 `[titles, size]`, centered and of unit length as in `title_embeddings`.

    Raises:
        InputError: If sentence-transformers is not installed or the model cannot be opened.
    """
    model = open_encoder(folder, device)
    logger.info("embedding %s titles", f"{len(titles):,}")
    return center_and_normalise(encode_texts(model, titles))


def open_encoder(folder: Path, device: str) -> Any:
    """Opens a sentence-transformers model in float32; arguments and errors as for `sentence_embeddings`."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            "the package sentence-transformers is not installed. Run: pip install 'llmrec[sentence]'"
        ) from error
    try:
        _refuse_own_modules(folder)
        return SentenceTransformer(str(folder), device=device, trust_remote_code=False).float()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be opened: {first_line(error)}") from error


def encode_texts(encoder: Any, texts: Sequence[str]) -> np.ndarray:
    """Embeds texts with an encoder that `open_encoder` has opened, float32 `[texts, size]`, as the encoder has them."""
    return np.asarray(encoder.encode(list(texts), show_progress_bar=False, convert_to_numpy=True), dtype=np.float32)


def _refuse_own_modules(folder: Path) -> None:
    """Refuses a model with modules of its own, whose code older versions of sentence-transformers run."""
    file = folder / "modules.json"
    for module in json.loads(file.read_text(encoding="utf-8")) if file.is_file() else ():
        if not str(module["type"]).startswith("sentence_transformers."):
            raise InputError(
                f"{file}: {module['type']} is code that comes with the model, which is not run. "
                "Give an encoder of the modules of sentence-transformers alone"
            )


def center_and_normalise(vectors: np.ndarray) -> np.ndarray:
    """Subtracts the mean from vectors (float `[n, size]`) and scales them to unit length; zero vectors stay zero.

    Returns:
        float32 `[n, size]`.
    """
    shifted = vectors - vectors.mean(axis=0, dtype=np.float64)
    return (shifted / np.maximum(np.linalg.norm(shifted, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _embed(backbone: Backbone, prompt: np.ndarray, titles: list[np.ndarray]) -> np.ndarray:
    training = backbone.training
    backbone.eval()
    lengths = np.array([len(prompt) + len(title) for title in titles])
    embedded = np.zeros((len(titles), backbone.causal_lm.config.get_text_config().hidden_size), dtype=np.float32)
    with (
        torch.inference_mode(),
        tqdm(total=len(titles), desc="embeddings", unit="title", leave=False, disable=None) as bar,
    ):
        for rows in batches_by_length(lengths, BATCH_TOKENS[backbone.device.type]):
            embedded[rows] = _means(backbone, prompt, [titles[row] for row in rows])
            bar.update(len(rows))
    backbone.train(training)
    return embedded


def _means(backbone: Backbone, prompt: np.ndarray, titles: list[np.ndarray]) -> np.ndarray:
    """Returns the mean of each title's hidden states, float32 `[titles, hidden size]`."""
    packed, _ = pack([prompt] * len(titles), [[title] for title in titles], len(prompt) - 1)
    index = torch.nonzero(packed.branch.flatten() == 1)[:, 0]
    row = torch.from_numpy(np.repeat(np.arange(len(titles)), [len(title) for title in titles]))
    hidden = backbone.hidden(packed.to(backbone.device), index.to(backbone.device)).float().cpu()
    summed = torch.zeros((len(titles), hidden.shape[1])).index_add(0, row, hidden)
    return (summed / torch.bincount(row)[:, None]).numpy()
