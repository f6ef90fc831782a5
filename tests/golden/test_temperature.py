"""The adaptive temperature against its derivation in plain NumPy."""

import numpy as np
import pytest
import torch

from llmrec.objectives.msl import MSL
from tests.golden import plain
from tests.golden.catalogue import EOS, QUOTE, random_model, random_titles
from tests.golden.plain import Model, Title, valid_tokens
from tests.objectives.given import given, prepared_batch, step


def tau_of_the_code(titles: list[Title], model: Model, targets: list[int], eta: float, parts: int) -> float:
    """The aim alone, without average and bounds, from a step in several micro-batches."""
    objective = MSL(eta=eta, ema=0.0, bounds=(-1e9, 1e9))
    done = []
    for part in np.array_split(targets, parts):
        batch = prepared_batch(objective, titles, part.tolist())
        prefixes = [titles[target][:t] for target in part for t in range(len(titles[target]))]
        rows = [model[prefix] for prefix in prefixes if len(valid_tokens(titles, prefix)) > 1]
        done.append((given(torch.tensor(np.array(rows))), batch))
    step(objective, done)
    return float(objective.tau)


def with_clear_positives(model: Model, titles: list[Title], targets: list[int]) -> Model:
    """The targets' own tokens lifted well above the others, as after some training: the roots are real."""
    lifted = {prefix: logits.copy() for prefix, logits in model.items()}
    for title in (titles[target] for target in targets):
        for t, token in enumerate(title):
            lifted[title[:t]][token] = 6.0
    return lifted


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_code_finds_the_larger_root(seed: int, parts: int) -> None:
    titles, targets = random_titles(seed), [3, 8, 8, 21, 30]
    model = with_clear_positives(random_model(titles, seed, spread=1.0), titles, targets)
    expected = plain.adaptive_tau(model, titles, [titles[target] for target in targets], eta=0.5)
    assert expected is not None
    assert tau_of_the_code(titles, model, targets, 0.5, parts) == pytest.approx(expected, rel=1e-4)


def test_targets_with_other_fan_outs_use_their_own() -> None:
    # Under the quote 3 and 4; after 3 seven choices, after 4 three: with eta 0.4 the choice of two is too narrow.
    titles: list[Title] = [(QUOTE, 3, token, EOS) for token in range(5, 12)]
    titles += [(QUOTE, 4, token, EOS) for token in range(5, 8)]
    targets = [0, 2, 7, 8, 9]
    model = with_clear_positives(random_model(titles, seed=0, spread=1.0), titles, targets)
    expected = plain.adaptive_tau(model, titles, [titles[target] for target in targets], eta=0.4)
    assert expected is not None
    assert tau_of_the_code(titles, model, targets, 0.4, parts=2) == pytest.approx(expected, rel=1e-4)


def test_it_is_held_where_the_derivation_has_no_aim() -> None:
    titles: list[Title] = [(QUOTE, 3, EOS), (QUOTE, 4, EOS)]
    model = random_model(titles, seed=0)
    assert plain.adaptive_tau(model, titles, titles, eta=0.25) is None
    assert tau_of_the_code(titles, model, [0, 1], 0.25, parts=1) == 1.5
