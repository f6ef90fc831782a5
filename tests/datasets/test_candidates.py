"""Rows with candidates: the target once among titles new to the user, the same for everyone who asks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llmrec.datasets.candidates import with_candidates
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.load import load
from llmrec.errors import InputError
from tests.datasets.layouts import group, write_generic
from tests.evaluation.small import TEST

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve users interact with five of ten items."""
    root = tmp_path_factory.mktemp("candidates")
    write_generic(root / "own", events=5)
    return root


def made(root: Path, candidates: int = 4, seed: int = 0, cache: str = "cache") -> Dataset:
    settings = group(name="own", source="real", train_samples=6)
    loaded = load(settings, root, root / cache)
    return with_candidates(loaded, settings, root / cache, candidates, seed)


def candidates_of(rows: Rows) -> np.ndarray:
    assert rows.candidates is not None
    return rows.candidates


def test_each_row_has_its_target_once_among_titles_that_are_new_to_the_user(data: Path) -> None:
    dataset, known = made(data), dict[str, set[int]]()
    for split in SPLITS:
        rows: Rows = getattr(dataset, split)
        assert candidates_of(rows).shape == (len(rows), 4)
        for row, user in enumerate(rows.user):
            known.setdefault(user, set()).update([*rows.history_of(row).tolist(), int(rows.target[row])])
        for row, (user, shown) in enumerate(zip(rows.user, candidates_of(rows).tolist(), strict=True)):
            assert len(set(shown)) == 4
            assert set(shown) & known[user] == {int(rows.target[row])}
    places = [shown.tolist().index(target) for shown, target in zip(candidates_of(rows), rows.target, strict=True)]
    assert len(set(places)) > 1


def test_they_are_made_once_and_by_the_seed(data: Path) -> None:
    first, again, elsewhere = made(data), made(data), made(data, cache="other")
    other = made(data, seed=1)
    for split in SPLITS:
        shown = candidates_of(getattr(first, split))
        assert np.array_equal(shown, candidates_of(getattr(again, split)))
        assert np.array_equal(shown, candidates_of(getattr(elsewhere, split)))
        assert not np.array_equal(shown, candidates_of(getattr(other, split)))


def test_the_rows_are_those_of_the_dataset_without_candidates(data: Path) -> None:
    settings = group(name="own", source="real", train_samples=6)
    plain, dataset = load(settings, data, data / "cache").dataset, made(data)
    for split in (*SPLITS, "sample"):
        rows, same = getattr(dataset, split), getattr(plain, split)
        assert rows.user.tolist() == same.user.tolist()
        assert rows.target.tolist() == same.target.tolist()
        assert rows.history.tolist() == same.history.tolist()
    assert dataset.lists == {}
    assert len(dataset.sample) == 6


def test_rows_that_are_taken_keep_their_candidates() -> None:
    rows = replace(TEST, candidates=np.arange(8, dtype=np.int32).reshape(4, 2))
    assert candidates_of(rows.take(np.array([2, 0]))).tolist() == [[4, 5], [0, 1]]
    assert rows.take(np.array([3])).candidates_of(0).tolist() == [6, 7]
    assert TEST.take(np.array([1])).candidates is None
    assert TEST.candidates_of(1).tolist() == []
    assert rows.followed_by(TEST).candidates is None


def test_a_catalogue_that_is_too_small_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match=r"8 sampled candidates .* 10 titles\. Lower task\.candidates"):
        made(data, candidates=9)
