"""The key-value cache with spare capacity."""

import pytest
import torch

from llmrec.backbones.cache import AppendCache, AppendLayer


def states(rows: int, columns: int, start: float) -> torch.Tensor:
    """Generates states `[rows, 2 heads, columns, 3]` that count up from `start`."""
    return start + torch.arange(rows * 2 * columns * 3).reshape(rows, 2, columns, 3).float()


@pytest.mark.parametrize("capacity", [1, 4, 5, 100])
def test_appended_states_stand_one_after_another(capacity: int) -> None:
    layer = AppendLayer(rows=2, capacity=capacity, prefix=None)
    first, second, third = states(2, 3, 0), states(2, 1, 100), states(2, 4, 200)
    layer.update(first, -first)
    layer.update(second, -second)
    keys, values = layer.update(third, -third)
    assert torch.equal(keys, torch.cat([first, second, third], dim=2))
    assert torch.equal(values, -keys)
    assert layer.get_seq_length() == 8


def test_every_row_begins_with_the_prefix() -> None:
    once = AppendCache(layers=2, rows=1, capacity=2)
    for number in range(2):
        once.update(states(1, 2, 10.0 * number), states(1, 2, 50.0), number)
    cache = AppendCache(layers=2, rows=3, capacity=6, prefix=once)
    assert cache.get_seq_length() == 2
    keys, _ = cache.update(states(3, 1, 90), states(3, 1, 90), 1)
    assert torch.equal(keys[:, :, :2], states(1, 2, 10.0).expand(3, -1, -1, -1))
    assert torch.equal(keys[:, :, 2:], states(3, 1, 90))


def test_what_is_appended_to_one_cache_is_not_seen_by_another_with_its_prefix() -> None:
    once = AppendCache(layers=1, rows=1, capacity=2)
    once.update(states(1, 2, 0), states(1, 2, 0), 0)
    one, other = (AppendCache(layers=1, rows=1, capacity=4, prefix=once) for _ in range(2))
    one.update(states(1, 1, 70), states(1, 1, 70), 0)
    keys, _ = other.update(states(1, 1, 80), states(1, 1, 80), 0)
    assert torch.equal(keys[:, :, 2:], states(1, 1, 80))
    assert once.get_seq_length() == 2
