"""Task rerank as commands: ALRO, SFT and the baselines rank the same candidate lists, and the record says how well."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.conftest import once
from tests.cli.test_run import written
from tests.tiers import rest_slow
from tests.training.small import NARROW

LISTS = (
    *NARROW, "backbone.max_length=512", "dataset.train_samples=48", "trainer.batch_size=16",
    "trainer.micro_batch_size=8", "evaluation.users=null",
)  # fmt: skip
MOVIES = ("dataset=movielens_100k", *LISTS)
SFT = ("objective=sft", "task=rerank", *MOVIES)
ALRO = ("objective=alro", *MOVIES)


def rerank_place(shared: Path) -> Workplace:
    """Where the runs lie that all tests share, with a cache of their own: they have narrower backbones."""
    place = Workplace(shared / "rerank", shared / "rerank" / "cache")
    place.root.mkdir(exist_ok=True)
    return place


def alro_run(shared: Path) -> Done:
    """A trained ALRO run, trained once for all tests."""
    return once(shared / "alro.pickle", lambda: rerank_place(shared).train(*ALRO))


@pytest.fixture(scope="session")
def movies(shared: Path) -> Workplace:
    """As rerank_place."""
    return rerank_place(shared)


@pytest.fixture(scope="session")
def alro(shared: Path) -> Done:
    """As alro_run."""
    return alro_run(shared)


@pytest.fixture(scope="session")
def sft(shared: Path, movies: Workplace) -> Done:
    """An SFT run of the same lists."""
    return once(shared / "sft.pickle", lambda: movies.train(*SFT))


def test_alro_ranks_lists_by_itself(alro: Done, movies: Workplace) -> None:
    assert alro.run().parent == movies.runs / "movielens_100k-sim" / "rerank" / "tiny" / "alro"
    for split, measured in splits(alro).items():
        assert measured["recommender"] == "model"
        assert measured["lists"] == len(lists(alro, split)["list"]) >= measured["users"] > 1
        for figures in (measured["by_list"], measured["popularity_baseline"]["by_list"]):
            assert figures.keys() == {*(f"ndcg@{k}" for k in (1, 3, 5, 10)), "ndcg@1_se", "ndcg@10_se"}
        assert all(0 < value < 1 for value in measured["random_order"].values())
        assert (measured["position"]["orders"], measured["candidates"]) == (5, 10)
        # A model of six steps hangs on the order shown.
        assert measured["position"]["ndcg_std"] > 0
        assert measured["position"]["kendall_tau"] < 1


def test_the_table_of_lists_gives_the_figures_of_the_record(alro: Done) -> None:
    for split, measured in splits(alro).items():
        own = lists(alro, split)
        relevance = np.array(own["relevance"])
        ndcg = dcg(relevance) / dcg(-np.sort(-relevance, axis=1))
        rows = pq.read_table(alro.record() / "rows.parquet", filters=[("split", "=", split)])
        assert rows["by_list.ndcg@10"].to_pylist() == pytest.approx(ndcg)
        assert measured["by_list"]["ndcg@10"] == pytest.approx(ndcg.mean())
        assert measured["position"]["kendall_tau"] == pytest.approx(rows["position.kendall_tau"].to_numpy().mean())
        assert set(relevance.ravel()) <= {1, 2, 3, 4, 5}
        assert all(len(set(ranked)) == 10 for ranked in own["ranked"])


def test_the_curves_hold_the_parts_of_the_loss(alro: Done) -> None:
    lines = [line.split(",") for line in (alro.run() / "curves.csv").read_text().splitlines()[1:]]
    curves = {(int(step), name): float(value) for step, name, value in lines}
    assert {step for step, name in curves if name == "train/loss"} == set(range(6))
    for step in range(6):
        loss, sft, sll, psl = (curves[step, f"train/{name}"] for name in ("loss", "sft", "sll", "psl"))
        assert loss == pytest.approx(sft + 0.1 * sll + 0.1 * psl, rel=1e-5)
        assert min(sft, sll, psl) > 0


def test_report_and_console_name_the_lists(alro: Done) -> None:
    report = json.loads((alro.run() / "leakage.json").read_text())["lists"]["splits"]
    assert all(report[split]["lists"] == len(lists(alro, split)["list"]) for split in ("valid", "test"))
    assert "task rerank: tuned on 48 lists\n" in alro.output
    sizes = ", ".join(f"{split} {of['lists']:,} of {of['users']:,} users" for split, of in report.items())
    assert f"  lists of 10 candidates (0 sampled), relevance by rating: {sizes}\n" in alro.output


def test_the_final_table_has_re_ranker_floor_and_chance(alro: Done) -> None:
    lines = [line.split() for line in alro.output.splitlines()]
    for split, measured in splits(alro).items():
        name = {"valid": "validation", "test": "test"}[split]
        for ranker, figures in (
            ("model", measured["by_list"]),
            ("popularity", measured["popularity_baseline"]["by_list"]),
            ("chance", measured["random_order"]),
        ):
            row = [name, ranker, *(f"{figures[f'ndcg@{k}']:.4f}" for k in (1, 3, 5, 10))]
            assert any(line[: len(row)] == row for line in lines), row


def test_a_finished_run_is_read(alro: Done, movies: Workplace) -> None:
    before = written(alro.run())
    again = movies.train(*ALRO)
    assert "done already" in again.output
    assert again.record() == alro.record()
    assert written(alro.run()) == before


def test_sft_ranks_the_same_lists(alro: Done, sft: Done) -> None:
    assert sft.run().parent.parts[-3:] == ("rerank", "tiny", "sft")
    assert_same_lists(sft, alro)


@pytest.mark.parametrize("baseline", rest_slow(["mean_rating", "random", "popularity", "itemknn", "sasrec"]))
def test_a_baseline_ranks_the_same_lists(baseline: str, alro: Done, movies: Workplace) -> None:
    few_epochs = ("baseline.max_epochs=2",) if baseline == "sasrec" else ()
    done = movies.train(f"baseline={baseline}", "task=rerank", *MOVIES, *few_epochs)
    assert done.run().parent.parts[-3:] == ("rerank", "baseline", baseline)
    assert_same_lists(done, alro)
    assert any(line.split()[:2] == ["test", baseline] for line in done.output.splitlines())
    for split, measured in splits(done).items():
        assert measured["popularity_baseline"] == splits(alro)[split]["popularity_baseline"]
        assert (measured["by_list"] == measured["popularity_baseline"]["by_list"]) == (baseline == "popularity")
        # Scores of titles do not know the order shown; chance is another one in each.
        assert (measured["position"]["kendall_tau"] == 1) == (baseline != "random")


@pytest.mark.slow
def test_a_stage_is_the_sft_run_of_the_same_lists(sft: Done, movies: Workplace) -> None:
    before = trained_files(sft)
    staged = movies.train(*ALRO, "stage=sft", "evaluation.orders=1")
    assert "first its stage: " not in staged.output
    assert json.loads((staged.run() / "training.json").read_text())["stages"] == {"start": str(sft.run())}
    assert trained_files(sft) == before
    assert "position" not in splits(staged)["test"]


@pytest.mark.slow
def test_a_run_is_evaluated_by_several_orders_and_freely(sft: Done, movies: Workplace) -> None:
    before = trained_files(sft)
    asked = ("decoding.bootstrap=3", "evaluation.orders=2", "evaluation.unconstrained=true", "trainer.progress=false")
    evaluated = movies.run("llmrec.evaluate", f"run={sft.run()}", *asked)
    assert evaluated.status == 0, evaluated.output
    assert evaluated.run() == sft.run()
    assert evaluated.record() != sft.record()
    assert trained_files(sft) == before
    assert_same_lists(evaluated, sft)
    assert lists(evaluated, "test")["ranked"] != lists(sft, "test")["ranked"]
    assert [splits(done)["test"]["position"]["orders"] for done in (sft, evaluated)] == [5, 2]
    for measured in splits(evaluated).values():
        free = measured["unconstrained"]
        assert free["lists"] == measured["lists"]
        row = ["model", *(f"{measured['by_list'][f'ndcg@{k}']:.4f}" for k in (1, 3, 5, 10))]
        (line,) = [line for line in map(str.split, evaluated.output.splitlines()) if line[1:6] == row]
        assert line[-1] == f"{free['parse_failure_rate']:.4f}"
    assert "unconstrained" not in splits(sft)["test"]


@pytest.mark.slow
def test_without_ratings_a_list_holds_the_next_item(movies: Workplace) -> None:
    done = movies.train("objective=alro", "dataset=games", *LISTS, "evaluation.orders=2")
    assert done.run().parent.parts[-4:] == ("games-sim", "rerank", "tiny", "alro")
    assert "  lists of 10 candidates (9 sampled), relevance by next item: train " in done.output
    (prepared,) = (movies.cache / "datasets").glob("games-sim-*")
    ids = pq.read_table(prepared / "items.parquet")["item"].to_pylist()
    for split in ("valid", "test"):
        own, targets = lists(done, split), pq.read_table(prepared / f"{split}.parquet")["target"].to_pylist()
        assert all(sorted(relevance) == [0] * 9 + [1] for relevance in own["relevance"])
        best = [ranked[of.index(1)] for ranked, of in zip(own["ranked"], own["relevance"], strict=True)]
        assert best == [ids[target] for target in targets]


@pytest.mark.parametrize("command", [("llmrec.recommend", 'history=["A"]'), ("llmrec.diagnose",)])
def test_what_ranks_the_catalogue_refuses_the_run(command: tuple[str, ...], alro: Done, movies: Workplace) -> None:
    module, *arguments = command
    refused = movies.run(module, f"run={alro.run()}", *arguments)
    assert refused.status == 2
    named = module.removeprefix("llmrec.")
    assert refused.output.startswith(f"llmrec: {alro.run()} is of task=rerank, which {named} does not support: ")
    assert "Give a run of task=next_item" in refused.output


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("decoding=trie", "is for task=next_item, but the run has task=rerank: set decoding="),
        ("decoding.bootstrap=0", "decoding.bootstrap=0: give a whole number of at least 1"),
        ("evaluation.orders=0", "evaluation.orders=0: give a whole number of at least 1"),
        ("task.candidates=5", "train another with llmrec.run"),
    ],
)
def test_what_an_evaluation_cannot_take_is_refused(override: str, says: str, alro: Done, movies: Workplace) -> None:
    refused = movies.run("llmrec.evaluate", f"run={alro.run()}", override)
    assert refused.status == 2
    assert refused.output.startswith("llmrec: ")
    assert says in refused.output


def splits(done: Done) -> dict[str, Any]:
    """The record's metrics by split."""
    found: dict[str, Any] = json.loads((done.record() / "metrics.json").read_text())["splits"]
    return found


def lists(done: Done, split: str) -> dict[str, list[Any]]:
    """The record's lists of a split, by column."""
    table = pq.read_table(done.record() / "ranking.parquet", filters=[("split", "=", split)])
    columns: dict[str, list[Any]] = table.to_pydict()
    return columns


def trained_files(done: Done) -> dict[str, int]:
    """When the files of a run's training were last written; another worker may evaluate it meanwhile."""
    return {name: time for name, time in written(done.run()).items() if not name.startswith("rankings/")}


def dcg(relevance: np.ndarray) -> np.ndarray:
    """DCG@10 of lists of ratings, as they stand."""
    gained: np.ndarray = (2**relevance - 1) @ (1 / np.log2(np.arange(2, 12)))
    return gained


def assert_same_lists(done: Done, other: Done) -> None:
    """Both ranked the same rated candidates for the same users."""
    for split in ("valid", "test"):
        own, theirs = (lists(ranked, split) for ranked in (done, other))
        assert own["user"] == theirs["user"]
        candidates = [
            [sorted(zip(*of, strict=True)) for of in zip(found["ranked"], found["relevance"], strict=True)]
            for found in (own, theirs)
        ]
        assert candidates[0] == candidates[1]
