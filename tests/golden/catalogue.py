"""A random catalogue and a random model over it, as plain Python; and what the code under test makes of them."""

import numpy as np
import torch

from llmrec.objectives.base import Objective
from tests.golden.plain import Model, Title, valid_tokens
from tests.objectives.given import given, prepared_batch

VOCABULARY, EOS, QUOTE = 14, 1, 2


def random_titles(seed: int, count: int = 40) -> list[Title]:
    """Distinct titles behind one quote; short ones over few tokens, so that some begin others."""
    generator = np.random.default_rng(seed)
    titles: dict[Title, None] = {}
    while len(titles) < count:
        body = generator.integers(3, 9, generator.integers(1, 5)).tolist()
        titles[(QUOTE, *body, EOS)] = None
    return list(titles)


def random_model(titles: list[Title], seed: int, spread: float = 2.0) -> Model:
    """Logits after every prefix."""
    generator = np.random.default_rng(seed)
    prefixes = dict.fromkeys(title[:t] for title in titles for t in range(len(title)))
    return {prefix: generator.normal(0, spread, VOCABULARY) for prefix in prefixes}


def code_losses(objective: Objective, titles: list[Title], model: Model) -> torch.Tensor:
    """The objective's losses with every title as a target once, summed over each title's tokens, float64 [titles]."""
    batch = prepared_batch(objective, titles, range(len(titles)))
    rows = [model[prefix] for prefix in _supervised_prefixes(objective, titles)]
    losses, _ = objective.token_losses(given(torch.tensor(np.array(rows))), batch)
    return torch.zeros(len(titles), dtype=torch.float64).index_add(0, batch.row, losses.double())


def _supervised_prefixes(objective: Objective, titles: list[Title]) -> list[Title]:
    everywhere = getattr(objective, "supervises", "response") == "response"
    return [
        title[:t]
        for title in titles
        for t in range(len(title))
        if everywhere or len(valid_tokens(titles, title[:t])) > 1
    ]
