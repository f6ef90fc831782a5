"""Figures of a table: means, spreads, gains and tests, worked by hand on made-up records."""

import math
from pathlib import Path

import numpy as np
import pytest

from llmrec.launcher.plan import Job
from llmrec.tables.figures import Arm, figure, gain, holm_adjusted, paired, pairs
from llmrec.tables.latex import escaped
from llmrec.tables.runs import Run
from llmrec.training.cells import Cell
from tests.tables.fake_runs import USERS, write_run

NDCG = "by_title.ndcg@10"
MISSED = [0, 0, 0, 0, 0, 0, 0, 0]


def run_of(root: Path, who: str, seed: int, ranks: list[int], users: tuple[str, ...] = USERS) -> Run:
    """A finished cell of an objective whose test rows have these ranks (0 = not in the list)."""
    cell = Cell(root / "games-sim" / "next_item" / "tiny" / who / f"{who}{seed}")
    job = Job((), cell, cell.folder / "eval" / "e", (), f"games-sim-next_item-{who}-{seed}")
    return write_run(job, ranks, users)


def test_mean_spread_and_gain_are_those_of_the_seeds(tmp_path: Path) -> None:
    # NDCG@10 is 1 / log2(1 + rank): of eight rows one hit at rank 1 is 1/8, at rank 3 1/16.
    first, third = [1, *MISSED[1:]], [3, *MISSED[1:]]
    reference = Arm({1: run_of(tmp_path, "sft", 1, third), 2: run_of(tmp_path, "sft", 2, third)})
    arm = Arm({1: run_of(tmp_path, "msl", 1, first), 2: run_of(tmp_path, "msl", 2, third)})
    found = figure(list(arm.runs.values()), NDCG)
    assert found is not None
    assert (found.mean, found.seeds) == (pytest.approx(3 / 32), 2)
    # The sample's standard deviation of 1/8 and 1/16.
    assert found.spread == pytest.approx(1 / 16 / math.sqrt(2))
    assert gain(arm, reference, NDCG) == pytest.approx(50.0)


def test_only_seeds_of_both_are_compared(tmp_path: Path) -> None:
    reference = Arm({1: run_of(tmp_path, "sft", 1, MISSED), 2: run_of(tmp_path, "sft", 2, [1] * 8)})
    arm = Arm({2: run_of(tmp_path, "msl", 2, [1] * 8), 3: run_of(tmp_path, "msl", 3, [1] * 8)})
    assert [len(side) for side in pairs(arm, reference)] == [1, 1]
    assert gain(arm, reference, NDCG) == 0
    assert gain(arm, Arm({}), NDCG) is None
    # A reference of 0 has no percent.
    assert gain(Arm({1: arm.runs[2]}), Arm({1: reference.runs[1]}), NDCG) is None


def test_users_are_compared_by_their_mean_over_rows_and_seeds(tmp_path: Path) -> None:
    reference = Arm({1: run_of(tmp_path, "sft", 1, MISSED)})
    arm = Arm({1: run_of(tmp_path, "msl", 1, [1, 0, 3, 0, 0, 0, 0, 1])})
    found = paired(arm, reference, NDCG)
    assert found is not None
    # anna 1 of two rows, ben rank 3, eva 1 of three rows.
    assert found.by_user.tolist() == pytest.approx([0.5, 0.5, 0, 0, 1 / 3], abs=1e-9)
    assert found.comparison.difference == pytest.approx(2.5 / 8)
    assert found.comparison.users == 5


def test_other_rows_are_not_compared(tmp_path: Path) -> None:
    others = (*USERS[:-1], "zoe")
    reference = Arm({1: run_of(tmp_path, "sft", 1, MISSED)})
    arm = Arm({1: run_of(tmp_path, "msl", 1, MISSED, others)})
    assert paired(arm, reference, NDCG) is None


def test_holm_corrects_over_rows_and_sets_of_a_metric(tmp_path: Path) -> None:
    reference = Arm({1: run_of(tmp_path, "sft", 1, MISSED)})
    found = {
        (who, "games-sim"): paired(Arm({1: run_of(tmp_path, who, 1, ranks)}), reference, NDCG)
        for who, ranks in (("msl", [1] * 8), ("gdrt", [0, 0, 0, 0, 0, 0, 0, 1]))
    }
    raw = {key: one.comparison.p_value for key, one in found.items() if one is not None}
    adjusted = holm_adjusted({key: one for key, one in found.items() if one is not None})
    smallest, largest = sorted(raw, key=lambda key: raw[key])
    assert adjusted[smallest] == pytest.approx(min(1, 2 * raw[smallest]))
    assert adjusted[largest] == pytest.approx(min(1, max(raw[largest], adjusted[smallest])))
    assert np.isfinite(list(adjusted.values())).all()


def test_latex_is_escaped() -> None:
    assert escaped("50 % of A&B_c") == r"50 \% of A\&B\_c"
