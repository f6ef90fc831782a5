"""Free memory and the estimates of what a pass needs, against hand-computed values."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from llmrec.backbones import memory
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.memory import activation_bytes, attention_widths, fitting_tokens, free_bytes, needs_checkpointing
from tests.backbones import models
from tests.backbones.models import VOCABULARY, gemma2, gpt2, llama, mamba, mamba2, rwkv
from tests.catalogue.vocabularies import characters

GIB = 1 << 30


@pytest.fixture
def backbone() -> Backbone:
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    return Backbone(LlamaForCausalLM(config), characters())


@pytest.mark.parametrize(
    ("jobs", "expected"),
    # In GiB: 10 are free, and torch has reserved 6, of which 4 are allocated. A quarter of 80 is 20, of which this job
    # has allocated 4.
    [("1", 12), ("4", 12), ("8", 6), ("40", 0)],
)
def test_free_memory_of_a_gpu(jobs: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_SHARING_JOBS", jobs)
    cuda = SimpleNamespace(
        mem_get_info=lambda device: (10 * GIB, 80 * GIB),
        memory_reserved=lambda device: 6 * GIB,
        memory_allocated=lambda device: 4 * GIB,
    )
    monkeypatch.setattr(memory.torch, "cuda", cuda)
    assert free_bytes(torch.device("cuda")) == expected * GIB


def test_activations_of_a_token(backbone: Backbone) -> None:
    # A layer: 6 * 16 + 3 * 32 + 4 * 16 + 4 * 32 values of 4 bytes, 4 * 16 more in float32; the head: 12 * 64 / 8.
    layer, head = 4 * (96 + 96 + 64 + 128) + 256, 96
    assert activation_bytes(backbone, checkpointing=False) == 3 * layer + head
    assert activation_bytes(backbone, checkpointing=True) == layer + 3 * 4 * 16 + head
    backbone.autocast_dtype = torch.bfloat16
    assert activation_bytes(backbone, checkpointing=False) == 3 * (2 * 384 + 256) + 10 * 64 / 8


def test_what_does_not_fit_is_recomputed(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone.requires_grad_(False)
    backbone.causal_lm.lm_head.weight.requires_grad_(True)
    # 64 * 16 trained weights take 12 bytes each, sharded over two devices.
    state = 64 * 16 * 12 / 2
    free = 100 * activation_bytes(backbone, checkpointing=False) + state
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    assert [needs_checkpointing(backbone, tokens, shards=2) for tokens in (59, 61)] == [False, True]
    assert fitting_tokens(backbone, checkpointing=False, shards=2) == 60
    assert fitting_tokens(backbone, checkpointing=False, shards=1) < 60
    assert fitting_tokens(backbone, checkpointing=True, shards=2) > 60


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
    model = models.backbone(llama)
    fast = activation_bytes(model, checkpointing=False)
    model.uses_plain_path = True
    # Logits, their copy and its gradient take four bytes each, at every position instead of every eighth.
    assert activation_bytes(model, checkpointing=False) - fast == 12 * VOCABULARY * (1 - 1 / 8)
