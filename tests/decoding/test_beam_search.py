"""Beam search against a simple reference that runs every sequence from its start, and edge cases."""

from typing import Literal

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from tests.decoding.small import (
    EOS,
    QUOTE,
    Title,
    following,
    found,
    log_probabilities,
    random_backbone,
    random_prompts,
    random_titles,
    title_scores,
    token_titles,
)

Scores = Literal["trie", "vocab"]


def slow_search(
    backbone: Backbone, titles: TitleTokens, prompt: np.ndarray, settings: BeamSearch
) -> tuple[list[int], list[float]]:
    """Searches one prompt by Hugging Face's rule, with beams in plain lists.

    With trie scores, a beam is finished as soon as its title is unique and is completed up to EOS. Every finished title
    counts, and the search continues until no live beam is left.
    """
    valid, penalty = following(titles), settings.length_penalty
    every = {tuple(titles.of(title).tolist()): title for title in range(len(titles))}
    live: list[tuple[float, Title]] = [(0.0, ())]
    kept: list[tuple[float, int]] = []
    length = 0
    while live:
        length += 1
        candidates = [
            (score + step, (*prefix, token))
            for score, prefix in live
            for places in [log_probabilities(backbone, prompt, prefix, [valid[prefix]], settings.scores)]
            for token, step in places[0].items()
        ]
        candidates = sorted(candidates, reverse=True)
        if settings.scores == "vocab":
            candidates = candidates[: 2 * settings.beams]
        live = []
        for place, (score, prefix) in enumerate(candidates):
            behind = [title for title in every if title[: len(prefix)] == prefix]
            if len(behind) == 1 and (settings.scores == "trie" or prefix in every):
                score += rest(backbone, prompt, prefix, behind[0], valid)
                if settings.scores == "trie" or place < settings.beams:
                    kept.append((score / len(behind[0]) ** penalty, every[behind[0]]))
            else:
                live.append((score, prefix))
        kept = sorted(kept, reverse=True)[: settings.beams]
        live = live[: settings.beams]
        full = len(kept) == settings.beams
        if settings.scores == "vocab" and full and live and live[0][0] / length**penalty <= kept[-1][0]:
            break
    return [title for _, title in kept], [score for score, _ in kept]


def rest(backbone: Backbone, prompt: np.ndarray, prefix: Title, title: Title, valid: dict[Title, set[int]]) -> float:
    """Computes the log-probability of the tokens after the prefix of a title, with trie scores."""
    choices = [valid[title[:depth]] for depth in range(len(prefix), len(title))]
    if not choices:
        return 0.0
    places = log_probabilities(backbone, prompt, title[:-1], choices, "trie")
    return sum(place[token] for place, token in zip(places, title[len(prefix) :], strict=True))


@pytest.mark.parametrize("beams", [1, 3, 10])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_equals_the_slow_reference(beams: int, length_penalty: float, scores: Scores) -> None:
    titles = random_titles(80, seed=beams, quote=QUOTE)
    backbone, prompts = random_backbone(seed=beams), random_prompts()[:2]
    settings = BeamSearch(beams, scores, length_penalty)
    result = found(backbone, build_trie(titles)[0], prompts, settings)
    for prompt, (ours, points) in zip(prompts, result, strict=True):
        expected, expected_points = slow_search(backbone, titles, prompt, settings)
        assert ours == expected
        # Log-probabilities are compared. A score is one divided by a power of the length, and so is its rounding error.
        divisors = np.array([len(titles.of(title)) for title in ours]) ** length_penalty
        assert np.array(points) * divisors == pytest.approx(np.array(expected_points) * divisors, abs=3e-5)


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_the_way_of_computing_changes_nothing(scores: Scores) -> None:
    """Neither a shared prefix nor the other prompts of the batch nor the plain path changes the result."""
    titles = random_titles(80, seed=5, quote=None)
    trie, _ = build_trie(titles)
    backbone, prompts, settings = random_backbone(seed=5), random_prompts(shared=4), BeamSearch(6, scores)
    whole = found(backbone, trie, prompts, settings)
    others = [
        found(backbone, trie, prompts, settings, shared=4),
        found(backbone, trie, prompts[::-1], settings)[::-1],
        [found(backbone, trie, [prompt], settings, shared=2)[0] for prompt in prompts],
    ]
    backbone.uses_plain_path = True
    others.append(found(backbone, trie, prompts, settings, shared=4))
    for other in others:
        for (ours, points), (same, same_points) in zip(whole, other, strict=True):
            assert ours == same
            assert points == pytest.approx(same_points, abs=1e-4)


@pytest.mark.parametrize(
    "titles",
    [
        pytest.param([(QUOTE, 4, 5, EOS)], id="one title"),
        pytest.param([(EOS,), (4, EOS)], id="a blank title"),
        pytest.param([(QUOTE, 4, EOS), (QUOTE, 4, 5, EOS), (QUOTE, 4, 5, 6, 7, 8, EOS)], id="prefix titles"),
        pytest.param([(QUOTE, 4, 4, 5, EOS), (QUOTE, 4, 4, 6, EOS), (QUOTE, 4, 4, 6, 3, EOS)], id="a forced beginning"),
    ],
)
@pytest.mark.parametrize("scores", ["trie", "vocab"])
@pytest.mark.parametrize("plain", [False, True])
def test_small_catalogues(titles: list[Title], scores: Scores, plain: bool) -> None:
    """More beams than titles: every title once, then padding (checked by `found`)."""
    tokens, backbone, prompts = token_titles(titles), random_backbone(seed=1), random_prompts()
    expected = [title_scores(backbone, prompt, tokens, scores) for prompt in prompts]
    backbone.uses_plain_path = plain
    result = found(backbone, build_trie(tokens)[0], prompts, BeamSearch(10, scores), shared=3)
    for wanted, (ours, points) in zip(expected, result, strict=True):
        assert ours == list(wanted)
        assert points == pytest.approx(list(wanted.values()), abs=1e-4)


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_a_temperature_divides_the_logits(scores: Scores) -> None:
    titles = random_titles(80, seed=4, quote=QUOTE)
    trie, _ = build_trie(titles)
    backbone, prompts = random_backbone(seed=4), random_prompts()
    warm = found(backbone, trie, prompts, BeamSearch(6, scores, temperature=2.0))
    cold = found(backbone, trie, prompts, BeamSearch(6, scores))
    with torch.no_grad():
        backbone.causal_lm.get_output_embeddings().weight /= 2
    halved = found(backbone, trie, prompts, BeamSearch(6, scores))
    for (ours, points), (same, same_points) in zip(warm, halved, strict=True):
        assert ours == same
        assert points == pytest.approx(same_points, abs=1e-4)
    # Sums of log-probabilities are not ordered alike at all temperatures.
    assert [ours for ours, _ in warm] != [ours for ours, _ in cold]


def test_titles_with_equal_tokens_come_once_as_the_first_of_them() -> None:
    titles: list[Title] = [(4, 5, EOS), (4, 6, EOS), (4, 5, EOS), (7, EOS)]
    backbone, prompts = random_backbone(seed=1), random_prompts()
    for ours, points in found(backbone, build_trie(token_titles(titles))[0], prompts, BeamSearch(10)):
        assert sorted(ours) == [0, 1, 3]
        assert sum(np.exp(points)) == pytest.approx(1, abs=1e-5)
