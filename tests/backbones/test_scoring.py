"""Log-probabilities of responses equal those of plain forward passes, one sequence at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from llmrec.backbones import scoring
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.scoring import log_probabilities
from tests.backbones.models import VOCABULARY, gpt2, llama
from tests.catalogue.vocabularies import characters

GENERATOR = np.random.default_rng(0)
START = GENERATOR.integers(3, VOCABULARY, 5)
PROMPTS = [np.concatenate([START, GENERATOR.integers(3, VOCABULARY, n)]) for n in (1, 4, 2, 9, 3)]
RESPONSES = [GENERATOR.integers(3, VOCABULARY, n) for n in (3, 1, 6, 2, 6)]


def backbone(model: Callable[[], PreTrainedModel] = llama, plain: bool = False) -> Backbone:
    torch.manual_seed(1)
    made = Backbone(model(), characters())
    made.uses_plain_path = plain
    return made.eval()


def one_by_one(made: Backbone) -> list[np.ndarray]:
    """Computes each sequence alone with the model's own forward pass."""
    found = []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        tokens = torch.from_numpy(np.concatenate([prompt, response]))
        with torch.no_grad():
            scores = made.model(input_ids=tokens[None]).logits[0].log_softmax(-1)
        found.append(scores[torch.arange(len(prompt) - 1, len(tokens) - 1), tokens[len(prompt) :]].numpy())
    return found


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("model", [llama, gpt2])
@pytest.mark.parametrize("shared", [0, 5])
def test_scores_are_those_of_plain_forward_passes(
    model: Callable[[], PreTrainedModel], plain: bool, shared: int
) -> None:
    made = backbone(model, plain)
    for found, expected in zip(log_probabilities(made, PROMPTS, RESPONSES, shared), one_by_one(made), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("columns", "logits"), [(1, 1), (24, 3 * VOCABULARY)])
def test_batches_and_chunks_change_nothing(columns: int, logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = backbone()
    expected = log_probabilities(made, PROMPTS, RESPONSES, 5)
    monkeypatch.setitem(scoring.BATCH_TOKENS, "cpu", columns)
    monkeypatch.setattr(scoring, "MAX_LOGITS", logits)
    for found, whole in zip(log_probabilities(made, PROMPTS, RESPONSES, 5), expected, strict=True):
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_progress_is_told_every_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.BATCH_TOKENS, "cpu", 24)
    told: list[int] = []
    log_probabilities(backbone(), PROMPTS, RESPONSES, 5, told.append)
    assert sum(told) == len(RESPONSES)
    assert len(told) > 1


def test_dropout_is_off_and_the_mode_is_given_back() -> None:
    model = gpt2()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.9
    made = backbone(lambda: model).train()
    one, other = (log_probabilities(made, PROMPTS, RESPONSES, 5) for _ in range(2))
    assert made.training
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
