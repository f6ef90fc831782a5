"""The maximum sequence length of models, and its check."""

from collections.abc import Callable

import pytest
import torch
from transformers import (
    MptConfig,
    MptForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForCausalLM,
    XLNetConfig,
    XLNetLMHeadModel,
)

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import pack
from llmrec.backbones.positions import check_positions, position_limit
from llmrec.errors import InputError
from tests.backbones.models import SHAPE, SPECIAL, VOCABULARY, bloom, gpt2, llama, mamba, opt, sequence


def mpt() -> PreTrainedModel:
    """Relative positions (ALiBi) with a table whose length the config gives under a name of its own."""
    return MptForCausalLM(MptConfig(d_model=32, n_heads=4, n_layers=2, max_seq_len=128, vocab_size=VOCABULARY))


def roberta() -> PreTrainedModel:
    """Learned positions, of which those up to and including the padding index (0) are not used."""
    return RobertaForCausalLM(RobertaConfig(**SHAPE, **SPECIAL, is_decoder=True))


def xlnet() -> PreTrainedModel:
    """Relative positions without a limit, for which its config has -1."""
    return XLNetLMHeadModel(XLNetConfig(vocab_size=VOCABULARY, d_model=32, n_layer=1, n_head=2, d_inner=32))


@torch.no_grad()
def run(model: PreTrainedModel, length: int) -> None:
    """Runs a row of `length` tokens on the plain path."""
    backbone = Backbone(model.eval(), tokenizer=None)
    backbone.uses_plain_path = True
    packed, _ = pack([sequence(length, seed=0)], [[]])
    backbone.encode(packed, torch.tensor([length - 1]))


@pytest.mark.parametrize(("architecture", "limit"), [(gpt2, 128), (opt, 128), (mpt, 128), (roberta, 127)])
def test_the_limit_is_the_longest_row_that_the_model_can_run(
    architecture: Callable[[], PreTrainedModel], limit: int
) -> None:
    model = architecture()
    assert position_limit(model) == limit
    run(model, limit)
    with pytest.raises((IndexError, RuntimeError)):
        run(model, limit + 1)


def test_rotary_positions_end_where_the_model_was_trained() -> None:
    model = llama()
    assert position_limit(model) == 128
    run(model, 129)


@pytest.mark.parametrize("architecture", [bloom, mamba, xlnet])
def test_models_without_positions_have_no_limit(architecture: Callable[[], PreTrainedModel]) -> None:
    assert position_limit(architecture()) is None
    check_positions(architecture(), 1_000_000)


def test_rows_that_are_too_long_are_refused_with_both_numbers() -> None:
    check_positions(gpt2(), 128)
    with pytest.raises(
        InputError, match=r"backbone\.max_length=129: GPT2LMHeadModel has only 128 positions.*backbone\.max_length=128$"
    ):
        check_positions(gpt2(), 129)
