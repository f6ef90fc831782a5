"""The load-time check of decoding: which models use a cache, and that models that pass can decode."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.memory import activation_bytes
from llmrec.backbones.probe import probe
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.probe import check_decoding
from llmrec.decoding.rank import rank_titles
from llmrec.decoding.unconstrained import generate
from llmrec.errors import InputError
from llmrec.objectives.msl import MSL
from llmrec.prompts.prompts import Prompts
from tests.backbones.models import FAST, PLAIN, STATE_SPACE, backbone, bart, llama, xglm
from tests.decoding.small import QUOTE, random_prompts, random_titles, title_scores
from tests.objectives.given import prepared_batch


def loaded(architecture: Callable[[], PreTrainedModel]) -> Backbone:
    """Builds a random model and runs the same checks as when a run opens it."""
    model = backbone(architecture)
    probe(model, longest=64, window=getattr(model.causal_lm.config, "sliding_window", None))
    check_decoding(model)
    return model


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the messages that llmrec logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("llmrec")]


@pytest.mark.parametrize("architecture", FAST)
def test_the_cached_search_is_taken_in_silence(
    architecture: Callable[[], PreTrainedModel], caplog: pytest.LogCaptureFixture
) -> None:
    assert not loaded(architecture).uses_plain_path
    assert not warnings_of(caplog)


@pytest.mark.parametrize("architecture", [*FAST, *PLAIN, xglm])
def test_what_passes_ranks_titles_as_its_own_forward_pass_does(architecture: Callable[[], PreTrainedModel]) -> None:
    model, prompts = loaded(architecture), random_prompts(shared=4)
    titles = random_titles(20, seed=1, quote=QUOTE)
    found, scores = rank_titles(model, build_trie(titles)[0], Prompts.joined(prompts), BeamSearch(20))
    for prompt, row, points in zip(prompts, found, scores, strict=True):
        expected = title_scores(model, prompt, titles, "trie")
        assert row.tolist() == list(expected)
        assert points == pytest.approx(list(expected.values()), abs=1e-3)


@pytest.mark.parametrize("architecture", [*STATE_SPACE, xglm])
def test_what_passes_trains(architecture: Callable[[], PreTrainedModel]) -> None:
    model = loaded(architecture).train()
    objective = MSL(temperature=1.0)
    batch = prepared_batch(objective, [[5, 6, 1], [5, 7, 1], [8, 1]], targets=[0, 2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = objective.token_losses(model.encode(batch.packed, batch.state_index), batch)[0].sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert activation_bytes(model, checkpointing=False) > 0


@pytest.mark.parametrize("architecture", [*STATE_SPACE, bart])
def test_what_passes_generates_greedily_whatever_else_is_in_the_batch(
    architecture: Callable[[], PreTrainedModel],
) -> None:
    model, prompts = loaded(architecture), random_prompts()
    end = model.tokenizer.eos_token_id
    together = generate(model, prompts, longest=6, end_token=end)
    for prompt, tokens in zip(prompts, together, strict=True):
        expected: list[int] = []
        while len(expected) < 6 and end not in expected:
            sequence = torch.tensor([[*prompt.tolist(), *expected]])
            with torch.no_grad():
                expected.append(int(model.model(input_ids=sequence, use_cache=False).logits[0, -1].argmax()))
        assert tokens[: len(expected)].tolist() == expected


def test_a_model_that_takes_branches_but_cannot_be_searched_with_a_cache(caplog: pytest.LogCaptureFixture) -> None:
    model = backbone(xglm)
    probe(model, longest=64, window=None)
    assert not model.uses_plain_path
    check_decoding(model)
    assert model.uses_plain_path
    (warning,) = warnings_of(caplog)
    assert warning.startswith("XGLMForCausalLM cannot decode titles with a cache (")


def test_a_cached_search_that_scores_otherwise_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extend = Backbone.extend

    def displaced(self: Backbone, cache: AppendCache, tokens: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        return extend(self, cache, tokens, positions + cache.get_seq_length(), visible)

    monkeypatch.setattr(Backbone, "extend", displaced)
    model = backbone(llama)
    check_decoding(model)
    assert model.uses_plain_path
    (warning,) = warnings_of(caplog)
    assert "LlamaForCausalLM scores titles differently with a cache than without" in warning


@pytest.mark.parametrize("plain", [False, True])
def test_a_model_that_cannot_be_searched_at_all_is_refused_by_name(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backbone(llama)
    model.uses_plain_path = plain

    def fails(*_: object, **__: object) -> None:
        raise KeyError("no such\nkernel")

    monkeypatch.setattr(model.causal_lm, "forward", fails)
    with pytest.raises(
        InputError, match=r"LlamaForCausalLM cannot decode titles \('no such.*\)\. Choose another model"
    ):
        check_decoding(model)


@pytest.mark.parametrize("training", [True, False])
def test_the_check_leaves_the_model_as_it_was(training: bool) -> None:
    model = backbone(llama).train(training)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.manual_seed(0)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    check_decoding(model)
    assert torch.equal(torch.rand(3), drawn)
    assert model.training is training
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None and not weight.is_inference() for weight in model.parameters())


def test_products_in_bfloat16_are_no_reason_for_the_plain_path(caplog: pytest.LogCaptureFixture) -> None:
    model = backbone(llama)
    model.autocast_dtype = torch.bfloat16
    probe(model, longest=64, window=None)
    check_decoding(model)
    assert not model.uses_plain_path
    assert model.autocast_dtype == torch.bfloat16
    assert not warnings_of(caplog)
