"""The load-time check: which models take the fast path, which the plain path, and the warnings."""

import logging
from collections.abc import Callable

import pytest
from torch import Tensor
from transformers import BertConfig, BertLMHeadModel, PreTrainedModel

from llmrec.backbones.adapters import add_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.probe import probe
from llmrec.errors import InputError
from tests.backbones.models import FAST, PLAIN, SHAPE, backbone, gpt2, gpt_neo, llama, qwen2, short_window, tied_llama
from tests.backbones.test_adapters import lora
from tests.catalogue.vocabularies import characters


def window_of(model: PreTrainedModel) -> int | None:
    return getattr(model.config, "sliding_window", None)


@pytest.mark.parametrize("architecture", FAST)
def test_the_fast_path_is_taken_in_silence(
    architecture: Callable[[], PreTrainedModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = backbone(architecture)
    probe(model, longest=64, window=None)
    assert not model.uses_plain_path
    assert not caplog.records


@pytest.mark.parametrize("architecture", PLAIN)
def test_the_plain_path_is_taken_with_a_warning_that_names_the_model(
    architecture: Callable[[], PreTrainedModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = backbone(architecture)
    probe(model, longest=64, window=window_of(model.causal_lm))
    assert model.uses_plain_path
    (record,) = [record for record in caplog.records if record.name.startswith("llmrec")]
    assert record.levelno == logging.WARNING
    assert type(model.causal_lm).__name__ in record.getMessage()


def test_a_window_that_no_row_outgrows_is_no_reason_for_the_plain_path() -> None:
    model = backbone(llama)
    probe(model, longest=64, window=64)
    assert not model.uses_plain_path
    probe(model, longest=65, window=64)
    assert model.uses_plain_path


def test_a_window_that_the_model_does_not_use_is_none() -> None:
    assert window_of(qwen2()) is None
    assert window_of(short_window()) == 4


def test_a_head_that_does_more_than_the_config_says_takes_the_plain_path() -> None:
    model = backbone(llama)
    own_forward = model.causal_lm.forward

    def shifted(*args: Tensor, **kwargs: Tensor) -> Tensor:
        output = own_forward(*args, **kwargs)
        output.logits = output.logits * 1.5
        return output

    model.causal_lm.forward = shifted
    probe(model, longest=64, window=None)
    assert model.uses_plain_path


@pytest.mark.parametrize("architecture", [llama, tied_llama, gpt2])
def test_the_fast_path_is_taken_with_an_adapter_of_the_head(architecture: Callable[[], PreTrainedModel]) -> None:
    model = backbone(architecture)
    adapted = Backbone(add_adapter(model.causal_lm, lora(modules=["lm_head"])), model.tokenizer)
    probe(adapted, longest=64, window=None)
    assert not adapted.uses_plain_path


def test_a_head_that_leaves_out_a_fresh_adapter_takes_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "llmrec.backbones.backbone.outputs_at", lambda layer, hidden, index: hidden @ layer.weight[index].T
    )
    for modules, plain in ((["q_proj"], False), (["lm_head"], True)):
        adapted = Backbone(add_adapter(backbone(llama).causal_lm, lora(modules=modules)), characters())
        probe(adapted, longest=64, window=None)
        assert adapted.uses_plain_path is plain


def test_a_mask_that_is_narrower_than_a_row_with_many_branches(caplog: pytest.LogCaptureFixture) -> None:
    # Plain sequences work, and so do branches in a row that has no more columns than the model has positions.
    model = backbone(gpt_neo)
    probe(model, longest=64, window=None)
    assert model.uses_plain_path
    assert "GPTNeoForCausalLM cannot take branches of a prompt (The size of tensor a (128)" in caplog.text


@pytest.mark.parametrize(("error", "said"), [(ValueError("no masks of one's own\nhere"), "no masks of one's own"),
                                             (NotImplementedError(), "NotImplementedError")])  # fmt: skip
def test_the_warning_says_why_a_model_cannot_take_branches(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = backbone(llama)

    def fails(*_: object) -> float:
        raise error

    monkeypatch.setattr("llmrec.backbones.probe._difference", fails)
    probe(model, longest=64, window=None)
    assert model.uses_plain_path
    assert f"cannot take branches of a prompt ({said}); it runs one sequence per branch" in caplog.text


def test_a_model_that_cannot_run_tokens_alone_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone(llama)

    def fails(*_: object, **__: object) -> None:
        raise ValueError("Input language unknown\nhere")

    monkeypatch.setattr(model.causal_lm, "forward", fails)
    with pytest.raises(InputError, match=r"LlamaForCausalLM cannot be run on tokens alone \(Input language unknown\)"):
        probe(model, longest=64, window=None)


def test_a_model_that_reads_ahead_is_refused() -> None:
    # A masked language model opens as a "causal LM", and would be shown the target that it is to predict.
    model = backbone(lambda: BertLMHeadModel(BertConfig(**SHAPE)))
    with pytest.raises(InputError, match="BertLMHeadModel is not causal"):
        probe(model, longest=64, window=None)


@pytest.mark.parametrize("training", [True, False])
def test_the_probe_leaves_the_model_in_its_mode_and_without_gradients(training: bool) -> None:
    model = backbone(llama).train(training)
    probe(model, longest=64, window=None)
    assert model.training is training
    assert all(weight.grad is None for weight in model.parameters())
