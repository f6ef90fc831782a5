"""SASRec on catalogues small enough to know what it should learn; its use of validation and test rows; resuming."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llmrec.baselines.base import Fitting
from llmrec.baselines.sasrec import SASRec
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import ndcg, title_ranks
from tests.evaluation.small import rows_of
from tests.settings.refusal import refusal

TITLES = [f"Volume {number}" for number in range(8)]
SMALL: dict[str, Any] = {
    "max_history": 6, "hidden_size": 16, "layers": 2, "heads": 2, "dropout": 0.1, "learning_rate": 0.01,
    "batch_size": 32, "max_epochs": 4, "patience": 2,
}  # fmt: skip


class Poisoned(Rows):
    """Rows that fail when they are accessed."""

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test rows were read: {name}")


def round_and_round(rows: int, seed: int) -> Rows:
    """Random histories of 1 to 6 items; the target is the item after the last one, modulo the catalogue size."""
    draws = np.random.default_rng(seed)
    histories = [draws.integers(0, len(TITLES), draws.integers(1, 7)).tolist() for _ in range(rows)]
    return rows_of(*((history, (history[-1] + 1) % len(TITLES)) for history in histories))


def dataset(titles: Sequence[str] = TITLES, held_out: bool = False, **changes: Any) -> Dataset:
    """Builds the small dataset with changes; by default its validation rows come from a file of their own."""
    train = changes.pop("train", round_and_round(160, seed=1))
    return replace(
        Dataset(
            name="round",
            simulated=True,
            items=Items([str(item) for item in range(len(titles))], list(titles)),
            train=train,
            sample=train.take(np.arange(min(16, len(train)))),
            valid=round_and_round(40, seed=2),
            test=Poisoned(),
            content_hash="0",
            report={},
            train_file="train.csv",
            valid_held_out=held_out,
        ),
        **changes,
    )


def silent(values: dict[str, float], step: int) -> None:
    """Discards what is logged."""


def fitting(folder: Path, seed: int = 7, log: Callable[[dict[str, float], int], None] = silent) -> Fitting:
    return Fitting(seed, "cpu", folder / "fit.ckpt", log, progress=False)


def fitted(folder: Path, data: Dataset, seed: int = 7, **settings: Any) -> tuple[SASRec, dict[str, Any]]:
    sasrec = SASRec(**(SMALL | settings))
    return sasrec, sasrec.fit(data, fitting(folder, seed))


def weights(sasrec: SASRec, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Returns the saved tensors of each file."""
    folder.mkdir()
    sasrec.save(folder)
    return {path.name: load_file(path) for path in sorted(folder.iterdir())}


def assert_same(one: dict[str, dict[str, torch.Tensor]], other: dict[str, dict[str, torch.Tensor]]) -> None:
    assert one.keys() == other.keys()
    for name, tensors in one.items():
        assert tensors.keys() == other[name].keys()
        assert all(torch.equal(tensor, other[name][key]) for key, tensor in tensors.items())


def scores(sasrec: SASRec, rows: Rows, split: str = "valid") -> np.ndarray:
    return np.concatenate(list(sasrec.title_scores(rows, split)))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> SASRec:
    """A shared SASRec fitted with a validation file. Tests must not modify it."""
    return fitted(tmp_path_factory.mktemp("given"), dataset())[0]


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[SASRec, dict[str, Any]]:
    """A shared SASRec, and its report, fitted with validation rows held out of train. Tests must not modify it."""
    return fitted(tmp_path_factory.mktemp("held_out"), dataset(held_out=True))


@pytest.mark.parametrize("layers", [1, 2])
def test_it_learns_what_follows_the_last_item(layers: int, tmp_path: Path) -> None:
    sasrec, report = fitted(tmp_path, dataset(), layers=layers, max_epochs=20, patience=20, learning_rate=0.02)
    unseen = round_and_round(50, seed=3)
    titles, _ = sasrec.rank(unseen, "valid", k=1, exclude_history=False)
    assert (titles[:, 0] == unseen.target).mean() > 0.95
    assert report["valid_ndcg@10"] == max(report["valid_ndcg@10_by_epoch"]) > 0.95


def test_order_of_the_history_matters_and_only_its_latest_items_do(tmp_path: Path) -> None:
    # With one layer only the positions can tell the order of what stands before the last item.
    sasrec, _ = fitted(tmp_path, dataset(), layers=1)
    histories = [1, 2, 3, 4, 5, 6], [5, 4, 3, 2, 1, 6], [7, 0, 1, 2, 3, 4, 5, 6]
    one, turned, longer = scores(sasrec, rows_of(*((history, 0) for history in histories)))
    assert abs(one - turned).max() > 0.01
    np.testing.assert_allclose(one, longer, rtol=1e-5, atol=1e-5)


def test_an_item_is_read_without_those_after_it(given: SASRec) -> None:
    network = copy.deepcopy(given.selected)
    states: list[torch.Tensor] = []
    network.blocks[0].register_forward_hook(lambda block, read, written: states.append(written))
    network(torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7, 0]]))
    one, other = states[0].detach()
    np.testing.assert_allclose(one[:4], other[:4], rtol=1e-5, atol=1e-6)
    assert abs(one[4:] - other[4:]).max() > 0.01


def test_neither_padding_nor_the_batch_changes_scores(given: SASRec) -> None:
    sasrec = copy.deepcopy(given)
    short, mixed = rows_of(([5], 0)), rows_of(([5], 0), ([1, 2, 3, 4], 0), ([2, 6], 0))
    np.testing.assert_allclose(scores(sasrec, short)[0], scores(sasrec, mixed)[0], rtol=1e-5, atol=1e-5)
    before = scores(sasrec, mixed)
    with torch.no_grad():
        # If padding were attended to, its embedding and the positions that only it occupies would change the scores.
        sasrec.selected.position.weight[:2] += torch.randn(16)
        sasrec.selected.item.weight[-1] += torch.randn(16)
    np.testing.assert_allclose(scores(sasrec, mixed), before, rtol=1e-5, atol=1e-5)


def test_a_title_has_the_best_score_of_its_items(given: SASRec, tmp_path: Path) -> None:
    data = dataset(["Same", *TITLES[1:5], "Same", "Same", TITLES[7]])
    given.save(tmp_path)
    weights = load_file(tmp_path / "selected.safetensors")
    save_file(weights | {"seen_titles": torch.ones(6, dtype=torch.bool)}, tmp_path / "selected.safetensors")
    sasrec = SASRec(**SMALL)
    sasrec.load(tmp_path, data)
    by_item, by_title = scores(given, data.valid), scores(sasrec, data.valid)
    assert by_title.dtype == np.float32
    assert by_title.shape == (len(data.valid), 6)
    for title in range(6):
        np.testing.assert_array_equal(by_title[:, title], by_item[:, data.items.title_of == title].max(axis=1))


@pytest.mark.parametrize("exclude_history", [False, True])
@pytest.mark.parametrize("k", [3, 10])
def test_ranking_is_that_of_the_scores(
    k: int, exclude_history: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrec.baselines.sasrec.SCORING_BATCH_ROWS", 16)
    data = dataset(["Same", *TITLES[1:7], "Same"])
    sasrec, _ = fitted(tmp_path, data, max_epochs=1)
    done: list[int] = []
    titles, best = sasrec.rank(data.valid, "valid", k, exclude_history, done.append)
    assert (titles.dtype, best.dtype) == (np.int32, np.float32)
    assert done == [16, 16, 8]
    for row, score in enumerate(scores(sasrec, data.valid)):
        own = set(data.items.title_of[data.valid.history_of(row)]) if exclude_history else set()
        expected = [title for title in np.argsort(-score) if title not in own][:k]
        missing = k - len(expected)
        assert titles[row].tolist() == expected + [-1] * missing
        np.testing.assert_array_equal(best[row], [*score[expected], *[-np.inf] * missing])


def test_no_rows_no_ranking(given: SASRec) -> None:
    titles, best = given.rank(rows_of(), "valid", k=3, exclude_history=True)
    assert titles.shape == best.shape == (0, 3)


def test_a_seed_gives_the_same_fit_and_leaves_torch_as_it_was(given: SASRec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    undisturbed = torch.rand(3)
    torch.manual_seed(0)
    same, _ = fitted(tmp_path / "same", dataset())
    assert torch.equal(torch.rand(3), undisturbed)
    other, _ = fitted(tmp_path / "other", dataset(), seed=8)
    assert_same(weights(given, tmp_path / "a"), weights(same, tmp_path / "b"))
    assert abs(scores(given, dataset().valid) - scores(other, dataset().valid)).max() > 0.01


def test_the_selected_epoch_is_the_first_of_the_best_and_the_end_follows_the_patience(tmp_path: Path) -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    sasrec = SASRec(**(SMALL | {"max_epochs": 30, "learning_rate": 0.03}))
    report = sasrec.fit(dataset(), fitting(tmp_path, log=lambda values, step: logged.append((step, values))))
    curve = report["valid_ndcg@10_by_epoch"]
    assert report["chosen_epoch"] == curve.index(max(curve)) + 1
    assert report["epochs"] == len(curve) == min(30, report["chosen_epoch"] + 2)
    assert [step for step, _ in logged] == list(range(1, len(curve) + 1))
    assert [values["valid/ndcg@10"] for _, values in logged] == curve
    assert all(values["train/loss"] > 0 for _, values in logged)
    data = dataset()
    titles, _ = sasrec.rank(data.valid, "valid", k=10, exclude_history=False)
    assert ndcg(title_ranks(titles, data.valid.target), 10).mean() == pytest.approx(max(curve))


def test_refitted_with_validation_rows_only_where_train_was_cut_for_them(
    given: SASRec, held_out: tuple[SASRec, dict[str, Any]], tmp_path: Path
) -> None:
    refitted, report = held_out
    sample, sample_report = fitted(tmp_path / "sample", dataset(held_out=True), rows="sample")
    assert (report["refitted"], sample_report["refitted"]) == (True, False)
    saved, saved_refitted = weights(given, tmp_path / "a"), weights(refitted, tmp_path / "b")
    assert list(saved) == list(weights(sample, tmp_path / "c")) == ["selected.safetensors"]
    assert list(saved_refitted) == ["final.safetensors", "selected.safetensors"]
    # Validation is ranked as if there had been no refit, test by what the refit gave.
    assert_same(saved, {"selected.safetensors": saved_refitted["selected.safetensors"]})
    rows = dataset().valid
    np.testing.assert_array_equal(scores(refitted, rows), scores(given, rows))
    np.testing.assert_array_equal(scores(given, rows, "test"), scores(given, rows))
    assert abs(scores(refitted, rows, "test") - scores(refitted, rows)).max() > 0.01


def test_a_refit_is_the_fit_of_all_rows_for_the_chosen_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that both fits choose their last epoch.
    rising = iter(range(99))
    monkeypatch.setattr(SASRec, "_ndcg10", lambda sasrec, valid: float(next(rising)))
    data = dataset(held_out=True)
    refitted, report = fitted(tmp_path / "refitted", data)
    assert report["chosen_epoch"] == 4
    parts = [
        (part.history_of(row).tolist(), part.target[row])
        for part in (data.train, data.valid)
        for row in range(len(part))
    ]
    whole, _ = fitted(tmp_path / "whole", dataset(train=rows_of(*parts)))
    final = weights(refitted, tmp_path / "a")["final.safetensors"]
    selected = weights(whole, tmp_path / "b")["selected.safetensors"]
    selected.pop("seen_titles")
    assert_same({"": final}, {"": selected})


class Interrupted(Exception):
    """Stands for any interruption of a fit."""


@pytest.mark.parametrize("logged", [0, 1, 3, 5])
def test_an_interrupted_fit_ends_as_if_it_had_not_been(
    logged: int, held_out: tuple[SASRec, dict[str, Any]], tmp_path: Path
) -> None:
    whole, report = held_out
    # The interruptions must fall into the selection and into the refit.
    assert report["epochs"] in (3, 4)
    assert report["epochs"] + report["chosen_epoch"] > 5
    left = iter(range(logged))

    def interrupt(values: dict[str, float], step: int) -> None:
        if next(left, None) is None:
            raise Interrupted

    with pytest.raises(Interrupted):
        SASRec(**SMALL).fit(dataset(held_out=True), fitting(tmp_path, log=interrupt))
    # Random numbers drawn in the meantime must not matter.
    torch.rand(5)
    steps: list[int] = []
    resumed = SASRec(**SMALL)
    again = resumed.fit(dataset(held_out=True), fitting(tmp_path, log=lambda values, step: steps.append(step)))
    assert steps == list(range(logged + 1, report["epochs"] + report["chosen_epoch"] + 1))
    assert again | {"seconds": 0} == report | {"seconds": 0}
    assert_same(weights(resumed, tmp_path / "a"), weights(whole, tmp_path / "b"))


def test_a_finished_fit_is_not_made_again(tmp_path: Path) -> None:
    one, _ = fitted(tmp_path, dataset(held_out=True))
    steps: list[int] = []
    again = SASRec(**SMALL)
    assert again.fit(dataset(held_out=True), fitting(tmp_path, log=lambda values, step: steps.append(step)))
    assert steps == []
    assert_same(weights(one, tmp_path / "a"), weights(again, tmp_path / "b"))


@pytest.mark.parametrize("changed", ["seed", "settings", "data"])
def test_a_checkpoint_of_another_fit_is_not_gone_on_from(changed: str, tmp_path: Path) -> None:
    fitted(tmp_path / "shared", dataset(), max_epochs=1)
    data = dataset(content_hash="1" if changed == "data" else "0")
    seed = 8 if changed == "seed" else 7
    settings: dict[str, Any] = {"max_epochs": 1, "dropout": 0.2 if changed == "settings" else 0.1}
    over, _ = fitted(tmp_path / "shared", data, seed, **settings)
    anew, _ = fitted(tmp_path / "anew", data, seed, **settings)
    assert_same(weights(over, tmp_path / "a"), weights(anew, tmp_path / "b"))


@pytest.mark.parametrize("refitted", [False, True])
def test_what_is_saved_is_taken_up(
    refitted: bool, given: SASRec, held_out: tuple[SASRec, dict[str, Any]], tmp_path: Path
) -> None:
    sasrec, data = (held_out[0] if refitted else given), dataset(held_out=refitted)
    sasrec.save(tmp_path)
    loaded = SASRec(**SMALL)
    loaded.load(tmp_path, data)
    for split in ("valid", "test"):
        np.testing.assert_array_equal(scores(loaded, data.valid, split), scores(sasrec, data.valid, split))
    np.testing.assert_array_equal(loaded.seen_titles, sasrec.seen_titles)


def test_seen_titles_are_those_of_the_fitted_rows(tmp_path: Path) -> None:
    # Item 6 shares the title of item 0, which occurs; items 4 and 5 occur in validation alone.
    data = dataset([*TITLES[:6], TITLES[0]], held_out=True, train=rows_of(([0, 1], 2)), valid=rows_of(([3, 4], 5)))
    sasrec, _ = fitted(tmp_path, data)
    assert sasrec.seen_titles.tolist() == [True, True, True, False, False, False]


def test_rows_of_the_sample_alone(tmp_path: Path) -> None:
    _, report = fitted(tmp_path, dataset(), rows="sample")
    assert (report["rows"], report["fitted_rows"]) == ("sample", 16)
    data = dataset()
    on_sample, _ = fitted(tmp_path / "a", data, rows="sample")
    on_cut, _ = fitted(tmp_path / "b", replace(data, train=data.sample))
    np.testing.assert_array_equal(scores(on_sample, data.valid), scores(on_cut, data.valid))


def test_a_catalogue_of_one_item(tmp_path: Path) -> None:
    rows = rows_of(([0, 0], 0), ([0], 0))
    sasrec, report = fitted(tmp_path, dataset(["Only"], train=rows, valid=rows))
    titles, best = sasrec.rank(rows, "test", k=2, exclude_history=False)
    assert titles.tolist() == [[0, -1]] * 2
    assert np.isneginf(best[:, 1]).all()
    assert report["valid_ndcg@10"] == 1
    assert sasrec.rank(rows, "test", k=2, exclude_history=True)[0].tolist() == [[-1, -1]] * 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", "all"), ("heads", 3), ("heads", 0), ("hidden_size", 1.5), ("layers", 0), ("max_history", 0),
        ("dropout", 1.0), ("dropout", -0.1), ("learning_rate", 0.0), ("learning_rate", float("nan")),
        ("temperature", 0.0), ("weight_decay", -1.0), ("batch_size", 0), ("max_epochs", 0), ("patience", 0),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(key: str, value: Any) -> None:
    assert refusal(SASRec, SMALL | {key: value}, "baseline").startswith(f"baseline.{key}=")


@pytest.mark.parametrize("empty", ["train", "valid"])
def test_without_rows_there_is_nothing_to_fit_or_choose_by(empty: str, tmp_path: Path) -> None:
    cut = {"train": dataset(train=rows_of()), "valid": dataset(valid=rows_of())}
    with pytest.raises(InputError, match="there are no"):
        fitted(tmp_path, cut[empty])


def test_a_missing_file_is_named_with_a_remedy(held_out: tuple[SASRec, dict[str, Any]], tmp_path: Path) -> None:
    held_out[0].save(tmp_path)
    for name in ("final.safetensors", "selected.safetensors"):
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=rf"cannot read .*{name}.*Fit it again"):
            SASRec(**SMALL).load(tmp_path, dataset(held_out=True))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "selected.safetensors").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"cannot read .*selected\.safetensors"):
        SASRec(**SMALL).load(tmp_path, dataset())


@pytest.mark.parametrize("changed", ["catalogue", "titles", "settings"])
def test_weights_that_do_not_fit_are_refused(changed: str, given: SASRec, tmp_path: Path) -> None:
    given.save(tmp_path)
    titles = {"catalogue": [*TITLES, "Volume 8"], "titles": [*TITLES[:7], TITLES[0]]}.get(changed, TITLES)
    settings = SMALL | ({"hidden_size": 32} if changed == "settings" else {})
    with pytest.raises(InputError, match="another catalogue or other settings"):
        SASRec(**settings).load(tmp_path, dataset(titles))
