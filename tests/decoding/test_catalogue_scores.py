"""Exhaustive scoring equals plain forward passes over every title."""

import numpy as np
import pytest

from llmrec.catalogue.trie import build_trie
from llmrec.decoding import catalogue_scores as module
from llmrec.decoding.catalogue_scores import CatalogueScorer
from llmrec.decoding.title_scores import title_log_probabilities
from tests.decoding.small import EOS, QUOTE, random_backbone, random_prompts, random_titles, title_scores, token_titles

BACKBONE, PROMPTS = random_backbone(seed=3), random_prompts()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("quote", [None, QUOTE])
def test_equals_plain_forward_passes(quote: int | None, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_TOKENS", 9)
    monkeypatch.setattr(module, "ROWS", 2)
    titles = random_titles(40, seed=3, quote=quote)
    trie, path = build_trie(titles)
    scorer = CatalogueScorer(trie, titles, path)
    backbone = random_backbone(seed=3)
    backbone.uses_plain_path = plain
    for prompt in PROMPTS:
        expected = title_scores(BACKBONE, prompt, titles, "trie")
        np.testing.assert_allclose(scorer.scores(backbone, prompt), [expected[title] for title in range(40)], atol=1e-4)


def test_equals_the_scores_of_given_titles_at_another_temperature_without_a_history() -> None:
    titles = random_titles(200, seed=5, quote=None)
    trie, path = build_trie(titles)
    excluded = trie.title_leaf.numpy()[[3, 50, 51, 120]].astype(np.int64)
    found = CatalogueScorer(trie, titles, path).scores(BACKBONE, PROMPTS[0], 2.5, excluded)
    expected = title_log_probabilities(
        BACKBONE, trie, titles, PROMPTS[0], np.arange(200), "trie", excluded, temperature=2.5
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-5)


def test_titles_with_equal_tokens_have_equal_scores_and_one_title_alone_has_probability_one() -> None:
    titles = token_titles([(4, EOS), (3, EOS), (4, EOS)])
    trie, path = build_trie(titles)
    first, second, third = CatalogueScorer(trie, titles, path).scores(BACKBONE, PROMPTS[0])
    assert first == third
    assert np.exp([first, second]).sum() == pytest.approx(1, abs=1e-6)
    alone = token_titles([(4, 5, EOS)])
    trie, path = build_trie(alone)
    assert CatalogueScorer(trie, alone, path).scores(BACKBONE, PROMPTS[0]).tolist() == [0]
