"""Titles that contain the text of a special token, such as </s>: it is tokenized as text, not as that token."""

import re
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

MARK = "\ufdd0"
"""Put into the text of a special token where a title contains it. Unicode reserves this character for such uses."""


class ControlTokens:
    """The special tokens of a tokenizer, which templates may write and titles must not.

    Attributes:
        tokens: The token of each text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Collects the special tokens."""
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self.tokens = {
            str(token): int(number) for number, token in added.items() if token.special and len(str(token)) > 1
        }
        longest_first = sorted(self.tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def occurs(self, text: str) -> bool:
        """Returns whether a text contains the text of a special token."""
        return self._pattern.search(text) is not None

    def marked(self, text: str) -> str:
        """Returns a text of the data with a mark in each text of a special token, which `encode_marked` reads."""
        return self._pattern.sub(lambda found: found[0][0] + MARK + found[0][1:], text)

    def marked_entry(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns an item's values for a template with all texts marked."""
        if not any(self.occurs(value) for value in entry.values() if isinstance(value, str)):
            return entry
        lists = {key: [self.marked(text) for text in value] for key, value in entry.items() if isinstance(value, list)}
        texts = {key: self.marked(value) for key, value in entry.items() if isinstance(value, str)}
        return {**entry, **lists, **texts}

    def pieces(self, text: str) -> list[int | str]:
        """Splits a marked text into special tokens, which the template has written, and texts without marks."""
        pieces: list[int | str] = []
        end = 0
        for found in self._pattern.finditer(text):
            pieces += [text[end : found.start()].replace(MARK, ""), self.tokens[found[0]]]
            end = found.end()
        return [piece for piece in [*pieces, text[end:].replace(MARK, "")] if piece != ""]


def encode_marked(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokenizes a marked text without adding special tokens: unmarked special tokens as such, all else as text."""
    tokens: list[int] = []
    backend = getattr(tokenizer, "backend_tokenizer", None)
    for piece in ControlTokens(tokenizer).pieces(text):
        if isinstance(piece, int):
            tokens.append(piece)
        elif backend is None:
            tokens += tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        else:
            backend.no_padding()
            backend.no_truncation()
            backend.encode_special_tokens = True
            try:
                tokens += backend.encode(piece, add_special_tokens=False).ids
            finally:
                backend.encode_special_tokens = False
    return tokens
