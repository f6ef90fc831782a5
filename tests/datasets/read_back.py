"""What was read, as plain values, and the settings of the tests that compare it with random data."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Rows
from llmrec.datasets.interactions import Interactions
from tests.datasets.random_tables import Event, Item, Read

FEW, MANY = 8, 500
EXAMPLES = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


def steady(examples: int) -> Any:
    """The same examples in every run, whatever their duration."""
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


def values(items: Items, events: Interactions) -> Read:
    """Items and events as plain values."""
    categories = items.categories or [None] * len(items)
    users, ids = events.user_ids[events.user].tolist(), [items.ids[item] for item in events.item]
    ratings = [None] * len(events) if events.rating is None else events.rating.tolist()
    return Read(
        list(map(Item, items.ids, items.titles, categories)),
        list(map(Event, users, ids, events.timestamp.tolist(), ratings)),
    )


def shown(rows: Rows, ids: list[str]) -> list[tuple[str, list[str], str, int]]:
    """The rows as (user, ids of the history, id of the target, time)."""
    return [
        (rows.user[row], [ids[i] for i in rows.history_of(row)], ids[rows.target[row]], int(rows.timestamp[row]))
        for row in range(len(rows))
    ]
