"""The published sets have the content that they had before their readers were built on polars (commit 9e07e98)."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.interactions import Interactions
from llmrec.datasets.load import load, prepared_folder
from llmrec.datasets.prepared import Prepared, read_interactions
from llmrec.datasets.settings import SPLITS
from tests.datasets.layouts import group

CONTENT: dict[str, str] = {
    "movielens_100k": "1a203cdfa5e9a9ef4debec7d6dbd30bf7ba4c9fcf3997f5a339811a457e28073",
    "games": "0f9280ceb51cad049e06d9b0f24ba5f260157500f80d5d400c2acf91e431dc46",
    "office": "e1ffb8833df86f828643f67ada032b59f54c01849dc2c62a1e9fa7f1de2bc908",
    "books": "d80b83ce66ec39ba39e8355ad70e4a0b0f2917997d199c623e5c8447fb80b535",
}
"""Digests of the sets as that commit prepared them."""


def digest(prepared: Prepared, events: Interactions | None) -> str:
    """Hashes the values of a set: items, rows, the published sample, and the events of each user in order."""
    ids, items = prepared.items.ids, prepared.items
    parts: list[object] = [ids, items.titles, items.categories]
    for split in SPLITS:
        rows = getattr(prepared, split)
        histories = [[ids[item] for item in rows.history_of(row)] for row in range(len(rows))]
        targets = [ids[item] for item in rows.target]
        parts += [rows.user.tolist(), histories, targets, rows.timestamp.tolist()]
    parts += [None if prepared.sample is None else prepared.sample.tolist()]
    if events is not None:
        users = events.user_ids[events.user]
        order = np.argsort(users, kind="stable")
        found = [users[order].tolist(), [ids[item] for item in events.item[order]], events.timestamp[order].tolist()]
        parts += [*found, None if events.rating is None else events.rating[order].tolist()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.real_data(name)) for name in CONTENT])
def test_a_published_set_has_the_content_that_it_had(name: str, tmp_path: Path) -> None:
    dataset = group(name, source="real")
    loaded = load(dataset, Path(os.environ["LLMREC_DATA"]), tmp_path)
    events = read_interactions(prepared_folder(loaded.source, tmp_path), loaded.prepared.items)
    assert digest(loaded.prepared, events) == CONTENT[name]
