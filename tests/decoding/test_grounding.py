"""Grounding: the titles nearest to a generated text, with and without the weights of an assistant."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.embeddings import text_states
from llmrec.baselines.base import Baseline
from llmrec.catalogue.trie import build_trie
from llmrec.datasets.dataset import Rows
from llmrec.decoding import grounding_decoder as module
from llmrec.decoding.grounding_decoder import GroundingDecoder
from llmrec.decoding.unconstrained import generate
from llmrec.errors import InputError
from llmrec.prompts.prompts import Prompts
from llmrec.settings.objects import build
from llmrec.tasks.catalogue_ranker import RankerPreparation
from tests.decoding.small import EOS, random_prompts, token_titles
from tests.decoding.small import random_backbone as without_tokenizer
from tests.decoding.test_unconstrained import small_data
from tests.invariants.world import ROWS, random_backbone

TEXTS = ["A", "B", "C", "D"]
TITLES = token_titles([(3, EOS), (4, EOS), (5, EOS), (4, EOS)])
"""The last has the tokens of the second."""
TRIE, _ = build_trie(TITLES)
VECTORS = {"A": (0, 0), "B": (3, 4), "C": (6, 8), "D": (0, 1), "near C": (6, 7), "": (0, 2)}


class Popularity(Baseline):
    """Scores the titles 0, 10, 5, 2 for every row."""

    def title_scores(self, rows: Rows, split: str) -> Iterator[np.ndarray]:
        yield np.tile(np.array([0.0, 10.0, 5.0, 2.0], dtype=np.float32), (len(rows), 1))

    fit = save = load = rank = None  # type: ignore[assignment]


Popularity.__abstractmethods__ = frozenset()
START = np.zeros(0, dtype=np.int32)


def embed(texts: Sequence[str]) -> np.ndarray:
    return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def ranked(
    decoder: GroundingDecoder, generated: list[str], monkeypatch: pytest.MonkeyPatch, excluded: np.ndarray | None = None
) -> tuple[list[list[int]], list[list[float]]]:
    """Titles and scores for a model that generates some texts."""
    monkeypatch.setattr(module, "generate_texts", lambda *arguments: [(text, True) for text in generated])
    backbone = without_tokenizer(seed=1)
    decoder.prepare(RankerPreparation(backbone, TITLES, TEXTS, START, lambda model: embed, Popularity))
    prompts, rows = Prompts.joined(random_prompts()[: len(generated)]), ROWS.take(np.arange(len(generated)))
    titles, scores, _ = decoder.rank_rows(backbone, TRIE, prompts, rows, "test", excluded)
    return titles.tolist(), scores.tolist()


def test_titles_are_ranked_by_distance_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # From "near C", at (6, 7): 9.219544, 4.242641 and 1; from the empty text at (0, 2): 2, 3.605551 and 8.485281.
    decoder = GroundingDecoder(k=4, embeddings="by hand")
    titles, scores = ranked(decoder, ['"near C"', ""], monkeypatch)
    assert titles == [[2, 1, 0, -1], [0, 1, 2, -1]]
    assert scores[0] == pytest.approx([-1, -4.242641, -9.219544, -np.inf], abs=1e-6)
    assert scores[1] == pytest.approx([-2, -3.605551, -8.485281, -np.inf], abs=1e-6)


def test_weights_of_an_assistant_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # From A the distances 0, 5, 10 and 1 are 0, .5, 1 and .1 when scaled, and the weights 0, 1, .5 and .2: with gamma 2
    # the second title has .5 / 4 and the third 1 / 2.25.
    decoder = GroundingDecoder(k=3, embeddings="by hand", gamma=2, assistant=Popularity())
    titles, scores = ranked(decoder, ["A"], monkeypatch)
    assert titles == [[0, 1, 2]]
    assert scores[0] == pytest.approx([0, -0.125, -0.444444], abs=1e-6)


def test_excluded_titles_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    excluded = np.array([[TRIE.title_leaf[0], -1], [TRIE.title_leaf[0], TRIE.title_leaf[1]]])
    titles, _ = ranked(GroundingDecoder(k=3, embeddings="by hand"), ["A", "A"], monkeypatch, excluded)
    assert titles == [[1, 2, -1], [2, -1, -1]]


def test_gamma_without_an_assistant_is_refused() -> None:
    settings = {
        "_target_": f"{GroundingDecoder.__module__}.GroundingDecoder",
        "gamma": 1,
        "assistant": {"name": "none"},
    }
    with pytest.raises(InputError, match=r"decoding\.gamma=1\.0: choose the baseline .* baseline@decoding\.assistant="):
        build(settings, "decoding")
    assert build(settings | {"gamma": 0}, "decoding").assistant is None


@pytest.mark.parametrize("lora", [False, True])
def test_a_text_that_is_a_title_finds_it(lora: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = random_backbone(lora)
    data = small_data(own, tmp_path)
    texts = data.dataset.items.distinct_titles
    said = [texts.index(text) for text in ("Celeste", 'Doom" Box', "Doom", "Fez")]
    monkeypatch.setattr(module, "generate_texts", lambda *arguments: [(f'"{texts[title]}"', True) for title in said])
    decoder, rows = GroundingDecoder(k=3), ROWS.take(np.arange(len(said)))
    decoder.prepare(RankerPreparation(own, data.titles, texts, START, lambda model: embed, Popularity))
    titles, scores, _ = decoder.rank_rows(own, data.trie, data.split(rows).prompts, rows, "test")
    assert titles[:, 0].tolist() == said
    assert (scores[:, 0] == 0).all()
    assert (scores[:, 1] < 0).all()


@torch.no_grad()
def test_states_of_texts_are_those_of_their_last_tokens_under_the_base() -> None:
    own = random_backbone(lora=True)
    texts = ["Anno 1404", "Go", "Celeste and Braid"]
    with own.without_adapter():
        expected = [
            own.model(torch.tensor([own.tokenizer(text).input_ids]), output_hidden_states=True).hidden_states[-1][0, -1]
            for text in texts
        ]
    assert text_states(own, texts) == pytest.approx(torch.stack(expected).numpy(), abs=1e-5)
    assert text_states(own, [""]).shape == (1, len(expected[0]))


@torch.no_grad()
def test_beams_generate_the_best_sequence() -> None:
    """With as many beams as tokens, two tokens are searched exhaustively; the score is the mean of their logs."""
    own, (prompt, *_) = without_tokenizer(seed=3), random_prompts()
    step = _log_softmax(own)
    first = step(prompt)
    best = {(EOS,): float(first[EOS])}
    for token in set(range(32)) - {EOS}:
        second = step(np.append(prompt, token))
        best |= {(token, other): float(first[token] + second[other]) / 2 for other in range(32)}
    (found,) = generate(own, [prompt], longest=2, end_token=EOS, beams=32)
    assert tuple(found.tolist())[: 1 if found[0] == EOS else 2] == max(best, key=lambda tokens: best[tokens])


def _log_softmax(backbone: Backbone) -> Callable[[np.ndarray], torch.Tensor]:
    return lambda tokens: backbone.model(torch.from_numpy(tokens)[None]).logits[0, -1].log_softmax(-1)
