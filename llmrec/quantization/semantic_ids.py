"""Names codes as tokens and writes them as a file of item tokens."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from llmrec.atomic import atomic_file
from llmrec.catalogue.items import Items

MAX_LEVELS = len(ascii_lowercase) - 1
"""Each level is named by a letter, and collisions by the letter after the last level's."""


def token_sequences(codes: np.ndarray) -> list[list[str]]:
    """Names codes as tokens, one sequence for each row: code 12 of the first level is `<a_12>`, of the second `<b_12>`.

    Rows with equal codes get one more token, which numbers them in order: `<d_0>`, `<d_1>`, ... after three levels. The
    other rows do not get it, so all sequences are distinct and none is longer than necessary.

    Source: an additional token for items with equal codes is from TIGER (arXiv 2305.05065) by a secondary source; that
    other items have none is our reading.

    Args:
        codes: int `[titles, levels]`, with at most `MAX_LEVELS` levels.
    """
    rows = [tuple(row) for row in codes.tolist()]
    sizes, counted = Counter(rows), Counter[tuple[int, ...]]()
    sequences = []
    for row in rows:
        numbers = (*row, counted[row]) if sizes[row] > 1 else row
        counted[row] += 1
        sequences.append([f"<{letter}_{number}>" for letter, number in zip(ascii_lowercase, numbers, strict=False)])
    return sequences


def write_item_tokens(path: Path, items: Items, sequences: Sequence[Sequence[str]]) -> None:
    """Writes a file that `read_item_tokens` reads: a JSON object of item id -> list of tokens, an item a line.

    Args:
        path: The file.
        items: The catalogue. Items with the same title get the same tokens.
        sequences: The tokens of each distinct title.

    Raises:
        InputError: If the file cannot be written.
    """
    lines = [
        f"{json.dumps(item)}: {json.dumps(list(sequences[title]))}"
        for item, title in zip(items.ids, items.title_of.tolist(), strict=True)
    ]
    with atomic_file(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
