"""The number of processes that recommend."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llmrec.training.recommending_workers import worker_count


def recommender(weights: int, device: str = "cpu") -> Any:
    model = torch.nn.Linear(weights, 1, bias=False, device="meta")
    model.device = torch.device(device)
    return SimpleNamespace(ranker=SimpleNamespace(backbone=model))


@pytest.mark.parametrize(
    ("weights", "device", "chunks", "threads", "expected"),
    [
        (1_000_000, "cpu", 12, 2, 2),
        (1_000_000, "cpu", 100, 64, 8),
        (1_000_000, "cpu", 100, 1, 1),
        (1_000_000, "cpu", 11, 4, 1),
        (20_000_001, "cpu", 100, 4, 1),
        (1_000_000, "cuda", 100, 4, 1),
    ],
)
def test_small_models_on_a_cpu_use_a_process_for_each_thread(
    weights: int, device: str, chunks: int, threads: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert worker_count(recommender(weights, device), chunks) == expected


def test_baselines_use_one_process() -> None:
    baseline: Any = SimpleNamespace(ranker=object())
    assert worker_count(baseline, 100) == 1
