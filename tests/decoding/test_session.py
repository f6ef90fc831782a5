"""Sessions return the states of plain sequences, however branches are forked and extended."""

from threading import Thread

import numpy as np
import pytest
import torch

from llmrec.decoding.session import CachedSession, PlainSession, Session, SharedPrefix
from tests.decoding.small import random_backbone, random_prompts

BACKBONE, PLAIN, PROMPTS = random_backbone(seed=4), random_backbone(seed=4), random_prompts(shared=4)
PLAIN.uses_plain_path = True
EAGER = random_backbone(seed=4)
EAGER.causal_lm.set_attn_implementation("eager")


def opened(kind: str) -> Session:
    """Opens a session: with no spare capacity in its cache (`full`), with some (`roomy`, `eager`), or with none."""
    if kind == "plain":
        return PlainSession(PLAIN, PROMPTS)
    model = EAGER if kind == "eager" else BACKBONE
    return CachedSession(model, SharedPrefix(model, PROMPTS[0][:4]), PROMPTS, columns=0 if kind == "full" else 99)


@pytest.mark.parametrize("kind", ["full", "roomy", "eager", "plain"])
@torch.inference_mode()
def test_states_are_those_of_plain_sequences(kind: str) -> None:
    generator = np.random.default_rng(0)
    session = opened(kind)
    session.start(1)
    branches = [[[]] for _ in PROMPTS]
    # Uneven continuations; in the second step the last row has nothing new, in the third only one row has.
    for lengths in (
        [[2, 1], [1, 3], [0, 2], [1, 1]],
        [[0, 4], [2, 0], [1, 1], [0, 0]],
        [[0, 0], [0, 5], [0, 0], [0, 0]],
    ):
        branch = generator.integers(0, len(branches[0]), (4, 2))
        tokens = generator.integers(3, 32, (4, 2, 5))
        branches = [
            [branches[row][branch[row, beam]] + tokens[row, beam, : lengths[row][beam]].tolist() for beam in range(2)]
            for row in range(4)
        ]
        state_index = session.extend(torch.from_numpy(branch), torch.from_numpy(tokens), torch.tensor(lengths))
        for row in range(4):
            for beam in range(2):
                new = lengths[row][beam]
                sequence = torch.tensor([[*PROMPTS[row].tolist(), *branches[row][beam]]])
                expected = BACKBONE.model(input_ids=sequence).logits[0, sequence.shape[1] - new :]
                found = session.states(state_index[row, beam] + torch.arange(new)).logits()
                torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert EAGER.causal_lm.config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", ["roomy", "plain"])
@torch.inference_mode()
def test_normalizers_are_those_of_the_states(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrec.backbones.backbone.CHUNK_STATES", 3)
    session, one = opened(kind), torch.ones((4, 2), dtype=torch.long)
    index = session.start(1).flatten()
    for _ in range(2):
        expected = (session.states(index).logits() / 2.5).logsumexp(1)
        torch.testing.assert_close(session.log_normalizers(index, temperature=2.5), expected)
        index = session.extend(torch.zeros_like(one), 5 * one[:, :, None], one).flatten()


@torch.inference_mode()
def test_another_model_may_decode_in_another_thread() -> None:
    one = torch.ones((4, 2), dtype=torch.long)
    forks, tokens, lengths = torch.zeros_like(one), 5 + torch.arange(24).view(4, 2, 3), one + torch.arange(2)
    alone, session, other = opened("roomy"), opened("roomy"), opened("eager")
    for each in (alone, session, other):
        each.start(1)
    expected = alone.states(alone.extend(forks, tokens, lengths).flatten()).logits()

    def decode_with_the_other() -> None:
        with torch.inference_mode():
            other.extend(forks, tokens, 3 * one)

    def between_layers(*_: object) -> None:
        thread = Thread(target=decode_with_the_other)
        thread.start()
        thread.join()

    hook = BACKBONE.causal_lm.get_decoder().layers[0].register_forward_hook(between_layers)
    found = session.states(session.extend(forks, tokens, lengths).flatten()).logits()
    hook.remove()
    assert len(other.encoded) == 4 + 24
    torch.testing.assert_close(found, expected)
