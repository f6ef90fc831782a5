"""Five steps of training on a fixed model and batch, against stored numbers: whatever changes them must be explained.

The weights are drawn here, not by the model's own initialisation, which may differ between versions of transformers.
"""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llmrec.backbones.backbone import Backbone
from llmrec.objectives.base import Batch, Objective
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from tests.golden.catalogue import VOCABULARY, random_titles
from tests.objectives.given import prepared_batch

TARGETS = [3, 8, 21, 30]


def fixed_backbone() -> Backbone:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=False,
    )  # fmt: skip
    model, generator = LlamaForCausalLM(config), np.random.default_rng(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.copy_(torch.from_numpy(generator.normal(0, 0.2, weight.shape)))
    return Backbone(model, tokenizer=None)


def fixed_batch(objective: Objective) -> Batch:
    generator = np.random.default_rng(1)
    prompts = [generator.integers(3, VOCABULARY, length) for length in (7, 4, 9, 5)]
    return prepared_batch(objective, random_titles(seed=0), TARGETS, prompts)


def curve(objective: Objective) -> list[float]:
    """The losses of five steps of plain gradient descent."""
    backbone, batch = fixed_backbone(), fixed_batch(objective)
    totals, losses = objective.totals(batch), []
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.2)
    for _ in range(5):
        part = objective(backbone.encode(batch.packed, batch.state_index), batch, totals)
        part.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        objective.close_step(dict(part.statistics))
        losses.append(float(part.loss.detach()))
    return losses


def adaptive() -> MSL:
    """Bounds wide enough for what an untrained model's logits ask for."""
    return MSL(eta=0.5, start=3.0, bounds=(0.1, 5.0))


CURVES: dict[str, tuple[Objective, list[float]]] = {
    "sft": (SFT(), [2.81303, 2.16577, 2.05875, 1.60255, 1.28842]),
    "msl": (adaptive(), [4.41006, 3.88352, 3.12611, 2.57799, 2.16855]),
    "msl at 4.5": (MSL(temperature=4.5), [6.51646, 6.17574, 5.56367, 5.12183, 4.74783]),
    "msl over the response": (
        MSL(temperature=1.0, reduction="response"),
        [1.06807, 0.79559, 0.57504, 0.44014, 0.36651],
    ),
}


@pytest.mark.parametrize(("objective", "stored"), CURVES.values(), ids=CURVES)
def test_the_losses_are_those_stored(objective: Objective, stored: list[float]) -> None:
    assert curve(objective) == pytest.approx(stored, abs=1e-4)


def test_the_adaptive_temperature_has_moved_as_stored() -> None:
    objective = adaptive()
    curve(objective)
    assert float(objective.tau) == pytest.approx(2.43542, abs=1e-4)
