"""Titles as the tokens that a model emits for them: quoted, ended by EOS, as they occur after the prompt."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from llmrec.errors import InputError

CHUNK = 20_000
"""Titles tokenised at a time: bounds the memory that the tokenizer's own objects take."""


@dataclass(frozen=True)
class TitleTokens:
    """Token sequences of the distinct titles, flat.

    tokens: int32 [sum of lengths]; offsets: int64 [titles + 1]; moved: how many tokens at the end of the prompt belong
    to the titles instead, because the tokenizer merges the prompt's end with a title's opening quote (0 for most).
    """

    tokens: np.ndarray
    offsets: np.ndarray
    moved: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, title: int) -> np.ndarray:
        """The tokens of one title, int32 [length], EOS included."""
        return self.tokens[self.offsets[title] : self.offsets[title + 1]]


def quote(title: str) -> str:
    """A title as it stands in prompts and responses: verbatim, in double quotes (METHODS section 0)."""
    return f'"{title}"'


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """A content hash of the vocabulary and every rule of the tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else dict(sorted(tokenizer.get_vocab().items()))
    # Settings of the latest call, which every call of ours switches off.
    rules |= {"truncation": None, "padding": None}
    marks = [tokenizer.bos_token_id, tokenizer.eos_token_id, type(tokenizer).__name__]
    return hashlib.sha256(json.dumps([rules, marks]).encode()).hexdigest()


def tokenise_titles(tokenizer: PreTrainedTokenizerBase, titles: Sequence[str], prompt_end: str) -> TitleTokens:
    """Tokenises `"title"` + EOS as they occur after a prompt that ends with `prompt_end`.

    Where the tokenizer merges the boundary, the last tokens of the prompt move to the titles' side, so that prompt and
    title joined are the tokenizer's own reading of the joined text. Raises InputError for a tokenizer without EOS.
    """
    eos = tokenizer.eos_token_id
    if eos is None:
        raise InputError("the tokenizer has no EOS token; a title could not end: set tokenizer.eos_token and save it")
    end = np.array(encode(tokenizer, [prompt_end])[0], dtype=np.int32)
    pieces, lengths, kept = [], [], len(end)
    for start in range(0, len(titles), CHUNK):
        texts = [prompt_end + quote(title) for title in titles[start : start + CHUNK]]
        rows = encode(tokenizer, texts)
        kept = min(kept, *(_common_prefix(end, row) for row in rows))
        pieces.append(np.fromiter((token for row in rows for token in (*row, eos)), dtype=np.int32))
        lengths.append(np.array([len(row) + 1 for row in rows], dtype=np.int64))
    return _drop_prompt(np.concatenate(pieces), np.concatenate(lengths), kept, moved=len(end) - kept)


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """The tokens of each text alone, without BOS or EOS."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    # Straight to the backend: a quarter of the time of a million titles goes into the wrapper.
    backend.no_padding()
    backend.no_truncation()
    return [row.ids for row in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _common_prefix(end: np.ndarray, row: list[int]) -> int:
    same = end == np.array(row[: len(end)] + [-1] * (len(end) - len(row)), dtype=np.int32)
    return len(end) if same.all() else int(same.argmin())


def _drop_prompt(tokens: np.ndarray, lengths: np.ndarray, kept: int, moved: int) -> TitleTokens:
    within = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths - kept)]).astype(np.int64)
    return TitleTokens(tokens[within >= kept], offsets, moved)
