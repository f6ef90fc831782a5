"""Identifiers of candidates in task rerank: short labels that are single tokens wherever they occur in a ranking."""

import string
from dataclasses import dataclass

import numpy as np

from llmrec.catalogue.titles import encode
from llmrec.errors import InputError
from llmrec.prompts.prompt import Prompt

SCHEMES = (
    tuple(f" {letter}" for letter in string.ascii_uppercase),
    tuple(f" {letter}" for letter in string.ascii_lowercase),
    tuple(string.ascii_uppercase),
    tuple(string.ascii_lowercase),
    tuple(f" {number}" for number in range(1, 64)),
)
"""Tried in this order: with a leading space, most tokenizers do not merge adjacent identifiers.

No scheme is longer than 63, because the identifiers left in a ranking are stored as the bits of an int64.
"""


@dataclass(frozen=True)
class Identifiers:
    """The identifiers of a list's candidates for one tokenizer.

    Attributes:
        texts: The identifiers as they are written, leading spaces included.
        tokens: The token of each identifier, int64 [m].
        end_token: The token that ends a ranking.
    """

    texts: tuple[str, ...]
    tokens: np.ndarray
    end_token: int

    def __len__(self) -> int:
        return len(self.texts)


def find_identifiers(prompt: Prompt, count: int) -> Identifiers:
    """Finds the first scheme whose first `count` identifiers are single tokens after a title and in any ranking.

    Raises:
        InputError: If no scheme fits the tokenizer.
    """
    for scheme in SCHEMES:
        tokens = _single_tokens(prompt, scheme[:count])
        if len(scheme) >= count and tokens is not None:
            return Identifiers(scheme[:count], tokens, prompt.end_token)
    name = prompt.tokenizer.name_or_path or "of this backbone"
    available = max(number for number in range(count) if any(_fits(prompt, scheme, number) for scheme in SCHEMES))
    raise InputError(
        f"task.candidates={count}: the tokenizer {name} has at most {available} "
        "letters or numbers that are single tokens in a ranking. Lower task.candidates or choose another backbone"
    )


def _fits(prompt: Prompt, scheme: tuple[str, ...], count: int) -> bool:
    return len(scheme) >= count and _single_tokens(prompt, scheme[:count]) is not None


def _single_tokens(prompt: Prompt, texts: tuple[str, ...]) -> np.ndarray | None:
    """Returns the token of each text, int64 [m], or None if one of them is not always that single token.

    Each text is tested after a title, after the prompt and after every other text. Tokenizers merge neighbors pair by
    pair, so testing all pairs of texts is enough.
    """
    if not texts:
        return np.zeros(0, dtype=np.int64)
    tokenizer = prompt.tokenizer
    end = encode(tokenizer, [prompt.end])[0]
    after_prompt = [tokens[len(end) :] for tokens in encode(tokenizer, [prompt.end + text for text in texts])]
    if any(len(tokens) != 1 for tokens in after_prompt):
        return None
    tokens = np.array(after_prompt)[:, 0]
    title_end = '":' if prompt.text.titles else ":"
    before, after = encode(tokenizer, [title_end, "\n"])
    after_title = encode(tokenizer, [f"{title_end}{text}\n" for text in texts])
    if any(row != [*before, token, *after] for row, token in zip(after_title, tokens, strict=True)):
        return None
    pairs = [(left, right) for left in range(len(texts)) for right in range(len(texts)) if left != right]
    encoded = encode(tokenizer, [prompt.end + texts[left] + texts[right] for left, right in pairs]) if pairs else []
    are_single = all(
        row == [*end, tokens[left], tokens[right]] for row, (left, right) in zip(encoded, pairs, strict=True)
    )
    return tokens if are_single and len(set(tokens.tolist())) == len(texts) else None
