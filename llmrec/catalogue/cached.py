"""Title tokens and trie of a catalogue, built once per catalogue and tokenizer and cached on disk."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from llmrec.cached_files import read_arrays, write_arrays
from llmrec.catalogue.control_tokens import ControlTokens
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import TitleTokens, tokenize_titles, tokenizer_hash
from llmrec.catalogue.trie import Trie, build_trie
from llmrec.components import code, digest
from llmrec.errors import shortened

logger = logging.getLogger(__name__)


def catalogue_hash(items: Items) -> str:
    """Returns a content hash of the distinct titles, in order."""
    return _texts_hash(items.distinct_titles)


def load_catalogue(
    tokenizer: PreTrainedTokenizerBase, items: Items, prompt_end: str, end_token: int, cache_dir: Path
) -> tuple[TitleTokens, Trie, np.ndarray]:
    """Loads the title tokens and the trie of a catalogue from the cache, or builds and caches them.

    Args:
        tokenizer: The backbone's tokenizer.
        items: The catalogue.
        prompt_end: The text that every prompt ends with; see `tokenize_titles`.
        end_token: The token that ends a title.
        cache_dir: llmrec's cache folder.

    Returns:
        The title tokens, the trie on the CPU, and the node before each title token; see `build_trie`.
    """
    shown = _shown(tokenizer, items)
    texts = _texts_hash([shown(text) for text in items.texts])
    key = digest(tokenizer_hash(tokenizer), texts, end_token, prompt_end, code(["catalogue"]))
    path = cache_dir / "catalogue" / f"{key}.safetensors"
    stored = read_arrays(path)
    if stored is None:
        titles = tokenize_titles(tokenizer, items.texts, prompt_end, end_token, shown)
        trie, nodes = build_trie(titles)
        arrays = {field.name: getattr(trie, field.name).numpy() for field in fields(Trie)}
        arrays |= {
            "tokens": titles.tokens,
            "offsets": titles.offsets,
            "prompt_overlap": np.array([titles.prompt_overlap]),
            "path": nodes,
        }
        write_arrays(path, arrays)
        return titles, trie, nodes
    trie = Trie(**{field.name: torch.from_numpy(stored[field.name]) for field in fields(Trie)})
    return TitleTokens(stored["tokens"], stored["offsets"], int(stored["prompt_overlap"][0])), trie, stored["path"]


def _shown(tokenizer: PreTrainedTokenizerBase, items: Items) -> Callable[[str], str]:
    """Returns the form of a text in responses, marked where a title contains the text of a special token."""
    control = ControlTokens(tokenizer)
    found = [title for title in items.texts if control.occurs(title)] if items.tokens is None else []
    if not found:
        return items.shown
    named = shortened(found[0])
    logger.warning("%s titles contain special tokens, which are read as text, such as %r", f"{len(found):,}", named)
    return lambda title: control.marked(items.shown(title))


def _texts_hash(texts: Sequence[str]) -> str:
    hashed = hashlib.sha256()
    for text in texts:
        hashed.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return hashed.hexdigest()
