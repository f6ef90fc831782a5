"""Samplers of rejected titles: never the target or the history, seeded, and distributed as documented."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.popularity import title_popularity
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.rejected.base import Rejected
from llmrec.objectives.rejected.candidates import Candidates
from llmrec.objectives.rejected.mixture import Mixture
from llmrec.objectives.rejected.popularity import Popularity
from llmrec.objectives.rejected.self_hard import SelfHard
from llmrec.objectives.rejected.semantic import Semantic
from llmrec.objectives.sft import SFT
from llmrec.training.preparation import RunPreparation
from tests.datasets.layouts import rows
from tests.invariants.world import CONFIG, ROWS, TITLES, random_backbone, small_candidates, small_dataset
from tests.settings.refusal import refusal

SAMPLERS: dict[str, Rejected] = {
    "self_hard": SelfHard(),
    "semantic": Semantic(nearest=4),
    "semantic to chosen": Semantic(nearest=4, to="chosen"),
    "popularity": Popularity(),
    "uniform": Popularity(alpha=0.0),
    "mixture": Mixture(SelfHard(), Semantic(nearest=4), Popularity(alpha=0.0)),
}
ALL = np.arange(len(ROWS))
MANY = rows(*((f"u{number}", [number % 3, 3], 6, number) for number in range(3000)))
"""Three thousand rows whose history is Doom's neighbour in time and one of three others."""


def prepared(cache: Path, sample: Rows = ROWS, seed: int = 1, dataset: Dataset | None = None) -> RunPreparation:
    """Prepares a sampler's inputs. Embeddings are positions on a half circle, so adjacent titles are similar."""
    backbone = random_backbone()
    data = NextItemData(dataset or small_dataset(sample), backbone, CONFIG, cache)
    data.setup_training(SFT(), sample)
    angle = np.linspace(0, np.pi, len(data.titles))
    embeddings = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    return RunPreparation(backbone, data.trie, data, cache, None, seed, random_backbone, lambda *_: embeddings)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_never_the_target_nor_the_history_nor_twice(name: str, count: int, tmp_path: Path) -> None:
    preparation = prepared(tmp_path)
    drawn = SAMPLERS[name].sample(preparation, ALL, count)
    assert drawn.shape == (len(ROWS), count)
    titles = preparation.data.dataset.items.title_of
    for row, found in enumerate(drawn.tolist()):
        taken = {int(titles[ROWS.target[row]]), *titles[ROWS.history_of(row)].tolist()}
        assert len(set(found)) == count
        assert not taken & set(found)
        assert all(0 <= title < len(preparation.data.titles) for title in found)


@pytest.mark.parametrize("name", SAMPLERS)
def test_drawn_by_the_seed(name: str, tmp_path: Path) -> None:
    sampler, every = SAMPLERS[name], np.arange(300)
    sample = MANY.take(every)
    one, again = (sampler.sample(prepared(tmp_path, sample), every, 1) for _ in range(2))
    assert (one == again).all()
    other = sampler.sample(prepared(tmp_path, sample, seed=2), every, 1)
    # Self-hard is deterministic: it ranks, it does not sample.
    assert (other == one).all() if name == "self_hard" else (other != one).any()


def test_candidates_are_those_of_the_prompt_but_the_target(tmp_path: Path) -> None:
    preparation = prepared(tmp_path, small_candidates(ROWS))
    titles = preparation.data.dataset.items.title_of
    rows = np.array([5, 0, 3])
    for count in (1, 2, 3):
        drawn = Candidates().sample(preparation, rows, count)
        for row, found in zip(rows, drawn.tolist(), strict=True):
            shown = set(titles[preparation.data.sample.rows.candidates_of(row)].tolist())
            assert len(set(found)) == count
            assert set(found) <= shown - {int(titles[ROWS.target[row]])}
    with pytest.raises(InputError, match=r"Cannot sample 4 rejected titles for row 5 .* shows too few candidates"):
        Candidates().sample(preparation, rows, 4)


def test_candidates_are_sampled_uniformly_by_the_seed(tmp_path: Path) -> None:
    preparation = prepared(tmp_path, small_candidates(MANY))
    every = np.arange(len(MANY))
    drawn = Candidates().sample(preparation, every, 2)
    assert (Candidates().sample(preparation, every, 2) == drawn).all()
    assert (Candidates().sample(replace(preparation, seed=2), every, 2) != drawn).any()
    # Of the three candidates beside the target, one is left out of two.
    rows, items = preparation.data.sample.rows, preparation.data.dataset.items
    shown = rows.candidate_titles(items)
    others = shown[shown != items.title_of[MANY.target][:, None]].reshape(len(MANY), 3)
    places = (others[:, :, None] == drawn[:, None, :]).any(axis=2).mean(axis=0)
    assert places == pytest.approx(np.full(3, 2 / 3), abs=0.05)


def test_alpha_0_is_uniform(tmp_path: Path) -> None:
    drawn = Popularity(alpha=0.0).sample(prepared(tmp_path, MANY), np.arange(len(MANY)), 1)[:, 0]
    shares = np.bincount(drawn, minlength=11) / len(MANY)
    free = [4, 5, 7, 8, 9, 10]
    # Each row excludes three titles: the one of 0, 1, 2 that is in its history, and 3 and 6.
    np.testing.assert_allclose(shares[free], 1 / 8, atol=5 * np.sqrt(1 / 8 / len(MANY)))
    np.testing.assert_allclose(shares[:3], 2 / 3 / 8, atol=5 * np.sqrt(1 / 12 / len(MANY)))
    assert shares[3] == shares[6] == 0


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_popular_titles_are_drawn_by_their_users(alpha: float, tmp_path: Path) -> None:
    train = rows(*((f"t{n}", [[7, 8, 8, 9][n % 4]], [8, 9, 10, 9][n % 4], n) for n in range(40)))
    dataset = replace(small_dataset(MANY), train=train)
    preparation = prepared(tmp_path, MANY, dataset=dataset)
    drawn = Popularity(alpha).sample(preparation, np.arange(len(MANY)), 1)[:, 0]
    weight = title_popularity(train, dataset.items).astype(float) ** alpha
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=len(weight)) / len(MANY), weight / weight.sum(), atol=5 * 0.5 / np.sqrt(len(MANY))
    )
    assert set(drawn) == set(np.flatnonzero(weight))


def test_self_hard_is_the_best_wrong_title_of_the_models_own_beam(tmp_path: Path) -> None:
    preparation = prepared(tmp_path)
    data = preparation.data
    drawn = SelfHard(beams=11).sample(preparation, ALL, 2)
    titles = data.dataset.items.title_of
    ranked, _ = rank_titles(preparation.backbone, data.trie, data.sample.prompts, BeamSearch(beams=11))
    for row in ALL:
        taken = {int(titles[ROWS.target[row]]), *titles[ROWS.history_of(row)].tolist()}
        assert drawn[row].tolist() == [title for title in ranked[row].tolist() if title not in taken][:2]


def test_self_hard_searches_on_where_its_beam_is_all_right(tmp_path: Path) -> None:
    sample = rows(*((f"u{target}", list(range(target)) + list(range(target + 1, 9)), target, 1) for target in range(9)))
    drawn = SelfHard(beams=1).sample(prepared(tmp_path, sample), np.arange(9), 1)[:, 0]
    # Only titles 9 and 10 are allowed, which a single beam rarely finds.
    assert set(drawn.tolist()) <= {9, 10}


def test_self_hard_leaves_the_model_in_training_mode(tmp_path: Path) -> None:
    preparation = prepared(tmp_path)
    preparation.backbone.train()
    SelfHard().sample(preparation, ALL, 1)
    assert preparation.backbone.training


def test_self_hard_is_kept_by_the_models_weights(tmp_path: Path) -> None:
    for scale in (1.0, 1.0, 2.0):
        preparation = prepared(tmp_path)
        next(preparation.backbone.parameters()).data.mul_(scale)
        SelfHard().sample(preparation, ALL, 1)
    assert len(list((tmp_path / "self_hard").iterdir())) == 2


@pytest.mark.parametrize(("to", "history", "target"), [("history", [1], 11), ("chosen", [11], 1)])
def test_semantic_titles_are_the_nearest(to: str, history: Sequence[int], target: int, tmp_path: Path) -> None:
    sample = rows(*((f"u{number}", history, target, number) for number in range(400)))
    drawn = Semantic(nearest=3, to=to).sample(prepared(tmp_path, sample), np.arange(400), 1)[:, 0]  # type: ignore[arg-type]
    # The neighbors of title 1 on the half circle. Title 1 itself is excluded, and all three are sampled.
    assert set(drawn.tolist()) == {0, 2, 3}


def test_semantic_takes_the_nearest_to_any_title_of_the_history(tmp_path: Path) -> None:
    sample = rows(*((f"u{number}", [0, 11], 5, number) for number in range(400)))
    drawn = Semantic(nearest=2).sample(prepared(tmp_path, sample), np.arange(400), 1)[:, 0]
    assert set(drawn.tolist()) == {1, 9}


def test_mixture_takes_each_rows_title_from_one_strategy(tmp_path: Path) -> None:
    every = np.arange(len(MANY))
    shares = {"self_hard": 0.0, "semantic": 0.25, "popularity": 0.75}
    only = {"semantic": Semantic(nearest=1), "popularity": Popularity(alpha=0.0)}
    preparation = prepared(tmp_path, MANY)
    drawn = Mixture(SelfHard(), only["semantic"], only["popularity"], shares).sample(preparation, every, 1)[:, 0]
    nearest = only["semantic"].sample(preparation, every, 1)[:, 0]
    # A uniform draw from eight titles is the nearest title with probability 1/8.
    assert (drawn == nearest).mean() == pytest.approx(0.25 + 0.75 / 8, abs=0.05)


@pytest.mark.parametrize(
    ("sampler", "settings", "says"),
    [
        (Popularity, {"alpha": -1}, "rejected.alpha=-1: give a number of at least 0"),
        (Semantic, {"nearest": 0}, "rejected.nearest=0: give a whole number of at least 1"),
        (Semantic, {"to": "users"}, "rejected.to=users: choose one of history, chosen"),
        (SelfHard, {"beams": 0}, "rejected.beams=0: give a whole number of at least 1"),
        (Mixture, {"shares": {"self_hard": 1.0}}, "rejected.shares={'self_hard': 1.0}: give one share for each of"),
        (Mixture, {"shares": {"self_hard": 0.5, "semantic": 0.5, "popularity": 0.5}}, "which sum to 1"),
        (Mixture, {"shares": {"self_hard": -1.0, "semantic": 1.0, "popularity": 1.0}}, "a number of at least 0"),
    ],
)
def test_settings_that_cannot_be_used(sampler: type[Rejected], settings: dict[str, Any], says: str) -> None:
    assert says in refusal(sampler, settings, "objective.rejected")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_history_that_covers_the_catalogue_is_named(name: str, tmp_path: Path) -> None:
    sample = rows(("ann", [0], 1, 1), ("bob", list(range(11)), 11, 2))
    with pytest.raises(InputError, match=r"row 1 of the training sample \(user bob\).*has 11 titles"):
        SAMPLERS[name].sample(prepared(tmp_path, sample), np.arange(2), 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_catalogue_of_one_item_is_refused(name: str, tmp_path: Path) -> None:
    sample = rows(("ann", [0], 0, 1))
    items = Items(["0"], TITLES[:1])
    dataset = Dataset("one", True, items, sample, sample, sample, sample, "0", {})
    with pytest.raises(InputError, match="the catalogue of one has 1 titles"):
        SAMPLERS[name].sample(prepared(tmp_path, sample, dataset=dataset), np.arange(1), 1)


def test_rows_of_every_chunk_keep_their_own_titles(tmp_path: Path) -> None:
    titles = [f"T {number}" for number in range(700)]
    items = Items([str(number) for number in range(700)], titles)
    sample = rows(*((f"u{number}", [number], number + 1, number) for number in range(600)))
    dataset = Dataset("large", True, items, sample, sample, sample, sample, "0", {})
    preparation = prepared(tmp_path, sample, dataset=dataset)
    for sampler in (Popularity(), Semantic(nearest=5)):
        drawn = sampler.sample(preparation, np.arange(600), 1)[:, 0]
        assert (drawn != sample.target).all()
        assert (drawn != sample.history).all()
