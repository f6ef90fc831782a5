"""MSL, the language-modelling loss and the adaptive temperature written once more, from their formulas, in plain NumPy.

Nothing here knows the trie, the batches or the losses of llmrec: a catalogue is a list of token tuples, a model a table
from prefix to logits.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Title = tuple[int, ...]
Model = Mapping[Title, np.ndarray]
"""Logits over the vocabulary after each prefix of a title."""


def valid_tokens(titles: Sequence[Title], prefix: Title) -> list[int]:
    """Zvalid: the tokens that keep the prefix a prefix of some title."""
    return sorted(
        {title[len(prefix)] for title in titles if title[: len(prefix)] == prefix and len(title) > len(prefix)}
    )


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits minus the logarithm of the sum of their exponentials."""
    return logits - np.log(np.exp(logits).sum())


def lml(model: Model, target: Title) -> float:
    """-log P(target) over the whole vocabulary, summed over its tokens."""
    return -sum(float(log_softmax(model[target[:t]])[token]) for t, token in enumerate(target))


def msl(model: Model, titles: Sequence[Title], target: Title, tau: float = 1.0) -> float:
    """-tau * log softmax over the valid tokens at temperature tau, summed over the target's tokens."""
    total = 0.0
    for t, token in enumerate(target):
        valid = valid_tokens(titles, target[:t])
        scaled = log_softmax(model[target[:t]][valid] / tau)
        total -= tau * float(scaled[valid.index(token)])
    return total


def valid_mass(model: Model, titles: Sequence[Title], target: Title) -> float:
    """L1: -log of the probability that the vocabulary's softmax leaves to valid tokens, summed over the target."""
    total = 0.0
    for t in range(len(target)):
        probability = np.exp(log_softmax(model[target[:t]]))
        total -= float(np.log(probability[valid_tokens(titles, target[:t])].sum()))
    return total


def adaptive_tau(model: Model, titles: Sequence[Title], targets: Sequence[Title], eta: float) -> float | None:
    """The temperature at which a Gaussian with the logits' mean and variance gives the positives probability eta.

    From each target's first node with fan-out m, m * eta > 1: P = exp(p / tau) / (m * exp(mean / tau + s2 / (2 tau^2)))
    = eta is the quadratic L tau^2 - d tau + s2 / 2 = 0 with L = log(m * eta); the larger root, averaged over targets.
    """
    positives, pool, ratios = [], [], []
    for target in targets:
        for t, token in enumerate(target):
            valid = valid_tokens(titles, target[:t])
            if len(valid) * eta > 1:
                positives.append(model[target[:t]][token])
                pool.extend(model[target[:t]][valid])
                ratios.append(np.log(len(valid) * eta))
                break
    if not positives:
        return None
    d, s2 = np.mean(positives) - np.mean(pool), np.var(pool, ddof=1)
    return float(np.mean([np.roots([ratio, -d, s2 / 2]).real.max() for ratio in ratios]))
