"""Title embeddings equal centered means of hidden states, on both paths."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.backbones.embeddings import center_and_normalise, title_embeddings
from tests.invariants.world import preparation_of


@pytest.mark.parametrize("plain", [False, True])
def test_a_title_is_the_mean_of_its_tokens_states_after_the_empty_prompt(plain: bool, tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path)
    backbone, data = preparation.backbone, preparation.data
    backbone.uses_plain_path = plain
    found = title_embeddings(backbone, *data.history_free_titles())
    prompt, means = data.prompt_tokenizer.histories([[]]).of(0), []
    for title in range(len(data.titles)):
        tokens = torch.from_numpy(np.concatenate([prompt, data.titles.of(title)]).astype(np.int64))
        with torch.no_grad():
            states = backbone.causal_lm.get_decoder()(input_ids=tokens[None]).last_hidden_state[0]
        means.append(states[len(prompt) :].mean(0).numpy())
    np.testing.assert_allclose(found, center_and_normalise(np.array(means)), atol=1e-4)


def test_vectors_are_centred_and_of_length_one() -> None:
    vectors = np.array([[3.0, 0.0], [-1.0, 4.0], [1.0, 2.0]])
    found = center_and_normalise(vectors)
    np.testing.assert_allclose(found[0], np.array([2, -2]) / np.sqrt(8), rtol=1e-6)
    # The third vector is the mean itself, so it stays zero.
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0], atol=1e-6)


def test_the_model_is_left_in_its_mode(tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path)
    preparation.backbone.train()
    title_embeddings(preparation.backbone, *preparation.data.history_free_titles())
    assert preparation.backbone.training
