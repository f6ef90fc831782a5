"""Scores of candidates are those of their titles, and an answer is a candidate only if it is exactly its title."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.catalogue.trie import build_trie
from llmrec.decoding import unconstrained as module
from llmrec.decoding.candidates_decoder import TitleScoreDecoder
from llmrec.decoding.catalogue_scores import CatalogueScorer
from llmrec.decoding.title_scores import title_log_probabilities
from llmrec.decoding.unconstrained import candidate_texts
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import random_backbone, random_prompts, random_titles
from tests.invariants.world import ROWS, TITLES, title_data
from tests.invariants.world import random_backbone as random_model

BACKBONE, PROMPTS = random_backbone(seed=3), Prompts.joined(random_prompts())
CATALOGUE = random_titles(40, seed=3, quote=None)
CANDIDATES = np.random.default_rng(0).permuted(np.tile(np.arange(40), (len(PROMPTS), 1)), axis=1)[:, :6]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_trie_scores_are_those_of_the_whole_catalogue(temperature: float) -> None:
    trie, path = build_trie(CATALOGUE)
    done: list[int] = []
    decoder = TitleScoreDecoder(temperature=temperature)
    found = decoder.scores(BACKBONE, trie, CATALOGUE, PROMPTS, CANDIDATES, done.append)
    scorer = CatalogueScorer(trie, CATALOGUE, path)
    for row, titles in enumerate(CANDIDATES):
        np.testing.assert_allclose(found[row], scorer.scores(BACKBONE, PROMPTS.of(row), temperature)[titles], atol=1e-4)
    assert sum(done) == len(PROMPTS)


def test_vocab_scores_are_log_probabilities_of_the_text() -> None:
    trie, _ = build_trie(CATALOGUE)
    found = TitleScoreDecoder("vocab").scores(BACKBONE, trie, CATALOGUE, PROMPTS, CANDIDATES)
    expected = title_log_probabilities(BACKBONE, trie, CATALOGUE, PROMPTS.of(1), CANDIDATES[1], "vocab")
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert (found < TitleScoreDecoder().scores(BACKBONE, trie, CATALOGUE, PROMPTS, CANDIDATES)).all()


def test_an_answer_is_a_candidate_of_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_model(task="candidates")
    data = title_data(backbone, tmp_path, task="candidates")
    titles = data.dataset.items.distinct_titles
    civ, doom, box = (titles.index(title) for title in ("Civ 5", "Doom", TITLES[7]))
    texts = ['"Doom"', '"Civ 5"', '"Doom" Box"', '"Doom" Box', "Doom", None, '"doom"', '"Doom", "Civ 5"']
    monkeypatch.setattr(module, "generate_titles", lambda backbone, prompts, titles, progress: texts[: len(prompts)])
    candidates = np.tile([doom, civ], (len(ROWS), 1))
    candidates[1] = [doom, box]
    candidates[2] = [doom, box]
    found, answers = candidate_texts(backbone, data, data.sample.prompts, candidates)
    assert found == texts
    # The title of another row's candidate, a title without its quotes, other text around it or no end are no answer.
    assert answers.tolist() == [doom, -1, box, -1, -1, -1, -1, -1]
