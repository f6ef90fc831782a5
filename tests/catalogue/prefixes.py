"""Titles given as tokens, and a dict from prefix to next tokens as a reference for the trie."""

from collections.abc import Sequence

import numpy as np

from llmrec.catalogue.titles import TitleTokens


def token_titles(titles: Sequence[Sequence[int]]) -> TitleTokens:
    """Builds titles from their tokens, EOS included."""
    rows = [np.array(title, dtype=np.int32) for title in titles]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return TitleTokens(np.concatenate(rows), offsets)


def following(titles: TitleTokens) -> dict[tuple[int, ...], set[int]]:
    """Maps each prefix of a title to its valid next tokens."""
    known: dict[tuple[int, ...], set[int]] = {}
    for title in range(len(titles)):
        tokens = tuple(titles.of(title).tolist())
        for depth, token in enumerate(tokens):
            known.setdefault(tokens[:depth], set()).add(token)
    return known
