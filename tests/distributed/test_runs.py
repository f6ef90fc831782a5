"""Distributed runs as users type them: what several ranks train and measure is what one process does."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from torch import distributed, testing

from tests.cli.commands import DEBUG, Workplace
from tests.cli.test_rerank import ALRO, alro_run, rerank_place
from tests.cli.trees import Tree, needs_proc

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")

DDP = ("trainer=ddp", "trainer.accelerator=cpu", "logger=csv")
BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")
UNEVEN = (
    "objective=gdrt", "objective/token_loss=msl", "dataset=games", "dataset.train_samples=161", "validation.users=7",
    "evaluation.users=2",
)  # fmt: skip
"""By three: no step divides, the last two ranks have no row in the last step, and the third has none to evaluate."""


@pytest.mark.slow
def test_three_ranks_are_one_where_no_number_of_rows_divides(place: Workplace, tmp_path: Path) -> None:
    one, three = (Workplace(tmp_path / name, place.cache) for name in ("one", "three"))
    for root in (one.root, three.root):
        root.mkdir()
    done = three.train(*UNEVEN, *DDP, "trainer.devices=3")
    assert_alike(done.run(), one.train(*UNEVEN).run())
    hardware = json.loads((done.run() / "training.json").read_text())["provenance"]["hardware"]
    assert hardware["ranks"] == 3
    # The first rank speaks for all.
    assert done.output.count(" parameters of tiny on ") == 1


@pytest.mark.slow
def test_two_ranks_rerank_as_one(shared: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path, rerank_place(shared).cache)
    done = place.run("llmrec.run", *ALRO, *DEBUG, *DDP)
    assert done.status == 0, done.output
    assert_alike(done.run(), alro_run(shared).run())


CRASHING = """
from llmrec.collectives import is_rank_zero
from llmrec.objectives.sft import SFT


class Crashing(SFT):
    def token_losses(self, encoded, batch):
        return super().token_losses(encoded, batch) if is_rank_zero() else None
"""
"""An objective with a bug that one rank alone runs into."""


def test_a_rank_that_fails_takes_the_others_with_it(place: Workplace) -> None:
    (place.root / "crashing.py").write_text(CRASHING)
    done = place.run("llmrec.run", *DEBUG, *DDP, "objective=sft", "objective._target_=crashing.Crashing")
    assert done.status == 1
    assert "rank-1.log" in done.output.splitlines()[-1]
    assert "TypeError" in next(place.runs.rglob("rank-1.log")).read_text()
    assert not list(place.runs.rglob("ranks.json"))


@needs_proc
def test_ranks_end_with_the_run_that_started_them(place: Workplace) -> None:
    run = Tree(place, "llmrec.run", *DEBUG, *DDP, "trainer.devices=2", "objective=sft", "dataset=games")
    run.when(lambda: bool(list(place.runs.glob("*/*/*/*/*/curves.csv")))).kill_alone(others=2)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trainer.devices=0", "trainer.devices=0: give a whole number of at least 1"),
        ("trainer.devices=auto", "trainer.devices=auto: give a whole number of at least 1"),
        ("trainer.strategy=deepspeed", "trainer.strategy=deepspeed: choose one of auto, ddp, fsdp"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(place: Workplace, setting: str, said: str) -> None:
    done = place.run("llmrec.run", *DEBUG, *DDP, setting)
    assert (done.status, said in done.output) == (2, True), done.output


def assert_alike(run: Path, expected: Path) -> None:
    """Curves, weights, figures and the users' lists, to the rounding of sums that were added in another order."""
    assert run.name == expected.name
    mine, theirs = curves(run), curves(expected)
    assert mine.keys() == theirs.keys()
    for place, value in theirs.items():
        assert mine[place] == pytest.approx(value, rel=2e-3, abs=1e-5, nan_ok=True), place
    weights, others = (load_file(folder / "weights" / "model.safetensors") for folder in (run, expected))
    for name, weight in others.items():
        testing.assert_close(weights[name], weight, atol=1e-4, rtol=1e-3, msg=name)
    (record,), (other,) = (list(folder.glob("rankings/*")) for folder in (run, expected))
    assert record.name == other.name
    for split in ("valid", "test"):
        chosen = [("split", "=", split)]
        users, same = (
            pq.read_table(folder / "ranking.parquet", filters=chosen).to_pydict() for folder in (record, other)
        )
        whose = [name for name in ("row", "list", "user", "target") if name in same]
        assert {name: users[name] for name in whose} == {name: same[name] for name in whose}
        assert_close(figures(record, split), figures(other, split), split)


def curves(run: Path) -> dict[tuple[str, str], float]:
    """Step and metric -> value."""
    with open(run / "curves.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] not in BY_THE_CLOCK]
    return {(line["step"], line["metric"]): float(line["value"]) for line in lines}


def figures(record: Path, split: str) -> Any:
    """What metrics.json says of a split."""
    return json.loads((record / "metrics.json").read_text())["splits"][split]


def assert_close(mine: Any, theirs: Any, place: str) -> None:
    """Equal, numbers to their rounding."""
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), place
        for name in theirs:
            assert_close(mine[name], theirs[name], f"{place}.{name}")
    elif isinstance(theirs, float) and not math.isnan(theirs):
        assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-6), place
    else:
        assert mine == theirs, place
