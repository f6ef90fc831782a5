"""Tokenization of titles as the responses that a model generates: as prompts show them, followed by an end token."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.control_tokens import MARK, encode_marked
from llmrec.catalogue.items import quote

CHUNK = 20_000
"""Number of titles tokenized per call, which limits the memory for the tokenizer's Python objects."""


@dataclass(frozen=True)
class TitleTokens:
    """Token sequences of the distinct titles, concatenated.

    Attributes:
        tokens: The tokens of all titles, each with its end token (EOS or the chat template's end of turn), int32
            `[sum of lengths]`.
        offsets: Start of each title in `tokens`, int64 `[titles + 1]`.
        prompt_overlap: Number of tokens at the end of the prompt that are counted as the beginning of the titles,
            because the tokenizer merges the end of the prompt with a title's opening quote. 0 for most tokenizers.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    prompt_overlap: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each title with its end token, int64 `[titles]`."""
        return np.diff(self.offsets)

    @property
    def end_token(self) -> int:
        """The token that ends every title."""
        return int(self.tokens[-1])

    def of(self, title: int) -> np.ndarray:
        """Returns the tokens of one title with its end token, int32 `[length]`."""
        return self.tokens[self.offsets[title] : self.offsets[title + 1]]


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns a content hash of a tokenizer: its vocabulary, rules and special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else json.dumps(dict(sorted(tokenizer.get_vocab().items())))
    return _rules_hash(rules, tokenizer.bos_token_id, tokenizer.eos_token_id, type(tokenizer).__name__)


@lru_cache(maxsize=1)
def _rules_hash(rules_json: str, *special: int | str | None) -> str:
    rules = json.loads(rules_json)
    # Truncation and padding are state left by the latest call, not properties of the tokenizer. `encode` disables both.
    rules |= {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps([rules, special]).encode()).hexdigest()


def tokenize_titles(
    tokenizer: PreTrainedTokenizerBase,
    titles: Sequence[str],
    prompt_end: str,
    end_token: int,
    shown: Callable[[str], str] = quote,
) -> TitleTokens:
    """Tokenizes titles, each followed by an end token, as continuations of a prompt that ends with `prompt_end`.

    If the tokenizer merges characters across the boundary, the last tokens of the prompt are counted as the beginning
    of the titles instead (see `TitleTokens.prompt_overlap`). Prompt tokens followed by title tokens then equal the
    tokenization of the concatenated text.

    Args:
        tokenizer: The backbone's tokenizer.
        titles: The distinct titles, or the tokens that represent them (`Items.texts`).
        prompt_end: The text that every prompt ends with.
        end_token: The token that ends a title.
        shown: Returns the form in which responses show a title (`Items.shown`).
    """
    end = np.array(encode(tokenizer, [prompt_end])[0], dtype=np.int32)
    chunks, lengths, unmerged = [], [], len(end)
    for start in range(0, len(titles), CHUNK):
        texts = [prompt_end + shown(title) for title in titles[start : start + CHUNK]]
        rows = encode(tokenizer, texts)
        unmerged = min(unmerged, *(_common_prefix(end, row) for row in rows))
        chunks.append(np.fromiter((token for row in rows for token in (*row, end_token)), dtype=np.int32))
        lengths.append(np.array([len(row) + 1 for row in rows], dtype=np.int64))
    return _drop_prompt(np.concatenate(chunks), np.concatenate(lengths), unmerged, prompt_overlap=len(end) - unmerged)


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Tokenizes texts, also marked ones (see `ControlTokens`), without adding special tokens such as BOS or EOS."""
    if any(MARK in text for text in texts):
        return [encode_marked(tokenizer, text) if MARK in text else encode(tokenizer, [text])[0] for text in texts]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    # For a million titles, the wrapper around the backend would take a quarter of the time.
    backend.no_padding()
    backend.no_truncation()
    return [row.ids for row in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _common_prefix(end: np.ndarray, row: list[int]) -> int:
    """Returns the number of leading tokens of `end` that the row begins with."""
    same = end == np.array(row[: len(end)] + [-1] * (len(end) - len(row)), dtype=np.int32)
    return len(end) if same.all() else int(same.argmin())


def _drop_prompt(tokens: np.ndarray, lengths: np.ndarray, prompt_tokens: int, prompt_overlap: int) -> TitleTokens:
    """Removes the first `prompt_tokens` tokens of each row."""
    within = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths - prompt_tokens)]).astype(np.int64)
    return TitleTokens(tokens[within >= prompt_tokens], offsets, prompt_overlap)
