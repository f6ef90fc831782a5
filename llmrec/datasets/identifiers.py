"""Identifiers of candidates: short marks, each one token of the tokenizer at hand where a ranking is written."""

import string
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.titles import encode
from llmrec.datasets.prompts import PROMPT_END
from llmrec.errors import InputError

SCHEMES = (
    tuple(f" {letter}" for letter in string.ascii_uppercase),
    tuple(f" {letter}" for letter in string.ascii_lowercase),
    tuple(string.ascii_uppercase),
    tuple(string.ascii_lowercase),
    tuple(f" {number}" for number in range(1, 64)),
)
"""Tried in this order. With a blank before each, most vocabularies cannot merge neighbours; sets of 63 fit an int64."""


@dataclass(frozen=True)
class Identifiers:
    """texts: as they are written, blanks included; tokens: int64, one each."""

    texts: tuple[str, ...]
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def find_identifiers(tokenizer: PreTrainedTokenizerBase, count: int) -> Identifiers:
    """The first scheme whose first `count` identifiers are single tokens behind their titles and in any ranking.

    Raises InputError, naming the tokenizer, when there is none, and for a tokenizer without EOS.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no EOS token; a ranking could not end: set tokenizer.eos_token and save it")
    for scheme in SCHEMES:
        tokens = _single_tokens(tokenizer, scheme[:count])
        if len(scheme) >= count and tokens is not None:
            return Identifiers(scheme[:count], tokens)
    name = tokenizer.name_or_path or "of this backbone"
    most = max(number for number in range(count) if any(_fits(tokenizer, scheme, number) for scheme in SCHEMES))
    raise InputError(
        f"task.candidates={count}: the tokenizer {name} has at most {most} "
        "letters or numbers that are single tokens in a ranking: lower task.candidates, or take another backbone"
    )


def _fits(tokenizer: PreTrainedTokenizerBase, scheme: tuple[str, ...], count: int) -> bool:
    return len(scheme) >= count and _single_tokens(tokenizer, scheme[:count]) is not None


def _single_tokens(tokenizer: PreTrainedTokenizerBase, texts: tuple[str, ...]) -> np.ndarray | None:
    """int64: the token of each text, None where one is not that one token behind a title, after the prompt or another.

    Vocabularies merge neighbours by pairs, so pairs are what must be tried.
    """
    if not texts:
        return np.zeros(0, dtype=np.int64)
    end = encode(tokenizer, [PROMPT_END])[0]
    alone = [tokens[len(end) :] for tokens in encode(tokenizer, [PROMPT_END + text for text in texts])]
    if any(len(tokens) != 1 for tokens in alone):
        return None
    tokens = np.array(alone)[:, 0]
    before, after = encode(tokenizer, ['":', "\n"])
    shown = encode(tokenizer, [f'":{text}\n' for text in texts])
    if any(row != [*before, token, *after] for row, token in zip(shown, tokens, strict=True)):
        return None
    pairs = [(one, other) for one in range(len(texts)) for other in range(len(texts)) if one != other]
    written = encode(tokenizer, [PROMPT_END + texts[one] + texts[other] for one, other in pairs]) if pairs else []
    held = all(row == [*end, tokens[one], tokens[other]] for row, (one, other) in zip(written, pairs, strict=True))
    return tokens if held and len(set(tokens.tolist())) == len(texts) else None
