"""Estimates of memory from a model's shape."""

from collections.abc import Callable

import pytest
from transformers import PreTrainedModel

from llmrec.backbones.memory import activation_bytes, attention_widths
from tests.backbones.models import VOCABULARY, backbone, gemma2, gpt2, llama, mamba, mamba2, rwkv


@pytest.mark.parametrize(
    ("architecture", "widths"),
    [
        (llama, (32, 16)),  # four heads of 32 / 4 for the queries, two for the keys
        (gemma2, (32, 16)),  # the same, whose size is written down
        (gpt2, (32, 32)),
        (mamba, (0, 0)),
        (mamba2, (0, 0)),
        (rwkv, (0, 0)),
    ],
)
def test_attention_widths(architecture: Callable[[], PreTrainedModel], widths: tuple[int, int]) -> None:
    assert attention_widths(architecture().config) == widths


def test_the_plain_path_has_logits_at_every_position() -> None:
    model = backbone(llama)
    fast = activation_bytes(model, checkpointing=False)
    model.plain = True
    # Logits, their copy and its gradient, four bytes each, at all instead of every eighth.
    assert activation_bytes(model, checkpointing=False) - fast == 12 * VOCABULARY * (1 - 1 / 8)
