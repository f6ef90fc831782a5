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


@pytest.mark.parametrize("capacity", [2, 3, 100])
def test_packed_states_stand_where_their_slots_are(capacity: int) -> None:
    cache = AppendCache(layers=1, rows=3, capacity=capacity)
    cache.update(states(3, 2, 0), states(3, 2, 50), 0)
    # Row 0 has one token in the cache and gets two, row 2 has two and gets one; row 1 is left out.
    slots = cache.append_at(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 2]), rows=2, width=2, columns=3)
    new = states(1, 3, 100)
    keys, values = cache.update(new, -new, 0)
    assert keys.shape == (2, 2, 3, 3)
    assert torch.equal(keys[0], torch.cat([states(3, 2, 0)[0, :, :1], new[0, :, :2]], dim=1))
    assert torch.equal(keys[1], torch.cat([states(3, 2, 0)[2], new[0, :, 2:]], dim=1))
    assert torch.equal(values[1, :, 2], -new[0, :, 2])
    assert torch.equal(slots.pad(torch.tensor([7, 8, 9])), torch.tensor([[7, 8], [9, 0]]))
    assert torch.equal(slots.unpad(torch.tensor([[7, 8], [9, 0]])), torch.tensor([7, 8, 9]))


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
