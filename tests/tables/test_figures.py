"""Figures worked out by hand: ranks to NDCG, means over seeds, gains, paired comparisons, Holm's correction."""

from collections.abc import Sequence
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llmrec.errors import InputError
from llmrec.evaluation.significance import Comparison
from llmrec.metrics.accuracy import ByTitle
from llmrec.metrics.measured import row_table
from llmrec.metrics.ranking import CatalogueRanking
from llmrec.tables.figures import (
    Figure,
    PairedComparison,
    RunsBySeed,
    figure,
    gain,
    histogram,
    holm_adjusted,
    paired,
    pairs,
    same_rows,
)
from llmrec.tables.measures import has_sums, has_users, sums, value, values
from llmrec.training.plan import Job
from llmrec.training.run_folder import RunFolder
from tests.evaluation.small import DATASET, TEST
from tests.tables.fake_runs import USERS, write_lists, write_run

NDCG = "by_title.ndcg@10"
MISSED = [0] * len(USERS)


def job_at(root: Path, who: str, seed: int, task: str = "next_item") -> Job:
    """A job whose cell and record lie where a run's would, below root."""
    cell = RunFolder(root / "games-sim" / task / "tiny" / who / f"{seed:016x}")
    overrides, record = (f"objective={who}", f"seed={seed}"), cell.folder / "rankings" / "e"
    return Job(overrides, cell, record, "key", (), f"games-sim-{who}-{seed}")


def arm_of(root: Path, who: str, ranks_by_seed: dict[int, Sequence[int]], once: bool = False) -> RunsBySeed:
    return RunsBySeed({seed: write_run(job_at(root, who, seed), ranks) for seed, ranks in ranks_by_seed.items()}, once)


def ranks(**by_row: int) -> list[int]:
    """Ranks of the eight rows, 0 but for those named r0 to r7."""
    return [by_row.get(f"r{row}", 0) for row in range(len(USERS))]


def test_values_are_those_of_the_metrics_by_row() -> None:
    """The values of a ranking with ranks 1, 2, 0, 10 and 11 by title."""
    titles = np.tile(np.arange(11, dtype=np.int32), (5, 1))
    ranking = CatalogueRanking(titles, titles, np.array([0, 1, 11, 9, 10]), TEST, DATASET, "test", False)
    rows = row_table(
        {"row": pa.array(range(5))}, {f"by_title.{column}": found for column, found in ByTitle().rows(ranking).items()}
    )
    assert values(rows, NDCG).tolist() == pytest.approx([1, 1 / log2(3), 0, 1 / log2(11), 0])
    assert values(rows, "by_title.ndcg@5").tolist() == pytest.approx([1, 1 / log2(3), 0, 0, 0])
    assert values(rows, "by_title.hr@10").tolist() == [1, 1, 0, 1, 0]


def test_values_by_item_are_columns_of_their_own() -> None:
    rows = pa.table({"by_title.ndcg@5": [1.0, 1], "by_item.ndcg@5": [0.5, 0]})
    assert values(rows, "by_item.ndcg@5").tolist() == [0.5, 0]


def test_a_metric_of_ones_own_without_values_by_row_is_named() -> None:
    with pytest.raises(InputError, match=r"novelty\.mean has no values by row, .* Return the column mean from"):
        values(pa.table({"novelty.other": [1.0]}), "novelty.mean")


def test_only_rows_of_test_are_read(tmp_path: Path) -> None:
    run = write_run(job_at(tmp_path, "sft", 1), MISSED)
    assert run.users["user"].to_pylist() == list(USERS)
    assert "split" not in run.users.column_names


def test_mean_of_the_values_is_the_figure_of_the_record(tmp_path: Path) -> None:
    run = write_run(job_at(tmp_path, "sft", 1), ranks(r0=1, r3=4, r7=9))
    for place in (NDCG, "by_title.ndcg@5", "by_title.hr@5", "by_title.hr@10"):
        assert has_users(place)
        assert values(run.users, place).mean() == pytest.approx(value(run, place))


def test_lists_have_their_values_in_columns(tmp_path: Path) -> None:
    run = write_lists(job_at(tmp_path, "sft", 1, "rerank"), [0.5, 0.75, 1, 1, 1, 1, 1, 1])
    assert values(run.users, "by_list.ndcg@10").tolist() == [0.5, 0.75, 1, 1, 1, 1, 1, 1]
    assert values(run.users, "position.kendall_tau").tolist() == [0.5] * 8
    assert values(run.users, "by_list.ndcg@5").tolist() == [0.5, 0.75, 1, 1, 1, 1, 1, 1]


SUMMED = (
    *(f"fairness.{name}.{kind}@5" for name in ("popularity", "relevance") for kind in ("mgu", "dgu")),
    "fairness.head20_share", "fairness.top20_relevance_share", "hallucination.semantic_share",
)  # fmt: skip


@pytest.mark.parametrize("place", SUMMED)
def test_sums_over_the_users_give_the_figure_of_the_record(place: str, tmp_path: Path) -> None:
    run = write_run(job_at(tmp_path, "sft", 1), MISSED)
    found = sums(run.users, place)
    assert found.measure(found.rows.sum(axis=0)) == pytest.approx(value(run, place))
    # Of several draws at once, too.
    assert found.measure(np.stack([found.rows.sum(axis=0)] * 2)).tolist() == pytest.approx([value(run, place)] * 2)


def test_what_is_no_sum_over_users_cannot_be_tested() -> None:
    for place in ("fairness.coverage", "fairness.gini", "cost.peak_memory", "fairness.category.mgu@5"):
        assert not has_sums(place)
        assert not has_users(place)


def test_figures_of_all_users_together_are_compared_by_drawing_users(tmp_path: Path) -> None:
    others = [False, False, True, True, True, None, None, None]
    reference = RunsBySeed({seed: write_run(job_at(tmp_path, "sft", seed), MISSED) for seed in (1, 2)})
    other = RunsBySeed({seed: write_run(job_at(tmp_path, "msl", seed), MISSED, hallucinated=others) for seed in (1, 2)})
    found = paired(other, reference, "hallucination.semantic_share")
    assert found is not None
    assert found.comparison.difference == pytest.approx(3 / 5 - 1 / 4)
    assert (found.comparison.users, found.comparison.rows, found.seeds, found.by_user) == (5, 8, 2, None)
    assert found.comparison.low < found.comparison.difference < found.comparison.high
    assert found.base == pytest.approx(1 / 4)


def test_costs_of_a_run(tmp_path: Path) -> None:
    run = write_run(job_at(tmp_path, "sft", 1), MISSED)
    # 30 seconds of training, two epochs (the objective has fewer than the trainer); 8 users in 4 seconds.
    assert value(run, "cost.seconds_per_epoch") == 15
    assert value(run, "cost.peak_memory") == 0.75
    assert value(run, "cost.rows_per_second") == 2
    lists = write_lists(job_at(tmp_path, "sft", 1, "rerank"), [1.0] * 8)
    assert value(lists, "cost.lists_per_second") == 16
    assert run.wall_seconds == 33 + 1 + 2 + 4


def test_a_figure_is_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    # HR@10 of 1/8, 2/8 and 3/8: mean 1/4, deviations -1/8, 0, 1/8.
    arm = arm_of(tmp_path, "sft", {1: ranks(r0=1), 2: ranks(r0=1, r1=1), 3: ranks(r0=1, r1=1, r2=1)})
    found = figure(list(arm.runs.values()), "by_title.hr@10")
    assert found == Figure(mean=pytest.approx(1 / 4), std=pytest.approx(1 / 8), seeds=3)
    assert figure([arm.runs[2]], "by_title.hr@10") == Figure(mean=1 / 4, std=None, seeds=1)
    assert figure([], NDCG) is None
    assert figure([arm.runs[1]], "unconstrained.invalid_title_rate") is None


def test_a_seed_without_the_figure_is_left_out_on_both_sides(tmp_path: Path) -> None:
    place = "hallucination.semantic_share"
    reference = arm_of(tmp_path, "sft", {1: MISSED, 2: MISSED})
    split = reference.runs[2].test
    lacking = write_run(job_at(tmp_path, "msl", 1), MISSED, splits={"test": {**split, "hallucination": {}}})
    other = RunsBySeed({1: lacking, 2: write_run(job_at(tmp_path, "msl", 2), MISSED)})
    assert pairs(other, reference, place) == ([other.runs[2]], [reference.runs[2]])


def test_gain_is_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    reference = arm_of(tmp_path, "sft", {1: ranks(r0=1), 2: ranks(r0=1, r1=1)})
    other = arm_of(tmp_path, "msl", {2: ranks(r0=1, r1=1, r2=1)})
    # With seed 2 alone: 3/8 against 2/8.
    assert gain(other, reference, "by_title.hr@10") == pytest.approx(50)
    assert gain(arm_of(tmp_path, "none", {}), reference, "by_title.hr@10") is None
    assert gain(other, arm_of(tmp_path, "nothing", {2: MISSED}), "by_title.hr@10") is None


def test_what_no_seed_changes_is_compared_with_all_seeds_of_the_reference(tmp_path: Path) -> None:
    reference = arm_of(tmp_path, "sft", {2: ranks(r0=1), 3: ranks(r0=1, r1=1, r2=1)})
    popularity = arm_of(tmp_path, "popularity", {1: ranks(r0=1)}, once=True)
    assert [len(side) for side in pairs(popularity, reference, NDCG)] == [1, 2]
    # 1/8 against a mean of 2/8.
    assert gain(popularity, reference, "by_title.hr@10") == pytest.approx(-50)


def test_differences_are_paired_by_row_and_shown_by_user(tmp_path: Path) -> None:
    reference = arm_of(tmp_path, "sft", {1: ranks(r0=1), 2: ranks(r2=1)})
    other = arm_of(tmp_path, "msl", {1: ranks(r0=1, r5=1), 2: ranks(r2=1, r1=2)})
    found = paired(other, reference, NDCG)
    assert found is not None
    # Over two seeds row 5 gains 1/2 and row 1 gains half of NDCG at rank 2; all others are equal.
    half = 1 / log2(3) / 2
    assert found.comparison.difference == pytest.approx((1 / 2 + half) / 8)
    assert (found.comparison.users, found.comparison.rows) == (5, 8)
    # anna has rows 0 and 1, eva rows 5 to 7.
    assert found.by_user is not None
    assert found.by_user.tolist() == pytest.approx([half / 2, 0, 0, 0, 1 / 6])
    assert found.comparison.low <= found.comparison.difference <= found.comparison.high


def test_equal_recommenders_do_not_differ(tmp_path: Path) -> None:
    given = {1: ranks(r0=1, r4=3), 2: ranks(r1=7), 3: ranks(r2=2)}
    swapped = {1: given[2], 2: given[3], 3: given[1]}
    found = paired(arm_of(tmp_path, "msl", swapped), arm_of(tmp_path, "sft", given), NDCG)
    assert found is not None
    assert found.comparison.p_value == 1
    assert found.by_user is not None
    assert not found.by_user.any()


def test_other_rows_are_not_compared(tmp_path: Path) -> None:
    reference = arm_of(tmp_path, "sft", {1: ranks(r0=1)})
    strangers = RunsBySeed({1: write_run(job_at(tmp_path, "msl", 1), ranks(r0=1), users=list("abcdefgh"))})
    assert not same_rows(strangers, reference)
    assert paired(strangers, reference, NDCG) is None
    assert gain(strangers, reference, "cost.seconds_per_epoch") is None
    assert same_rows(reference, reference)


def test_lists_of_other_candidates_are_not_compared(tmp_path: Path) -> None:
    first, second = (
        RunsBySeed(
            {1: write_lists(job_at(tmp_path, who, 1, "rerank"), [1.0] * 8, task={"name": "rerank", "candidates": n})}
        )
        for who, n in (("sft", 10), ("alro", 20))
    )
    assert not same_rows(second, first)


def test_nothing_is_compared_with_nothing(tmp_path: Path) -> None:
    reference = arm_of(tmp_path, "sft", {1: MISSED})
    assert paired(RunsBySeed({}), reference, NDCG) is None
    assert paired(arm_of(tmp_path, "popularity", {1: MISSED}, once=True), RunsBySeed({}), NDCG) is None
    assert paired(reference, arm_of(tmp_path, "msl", {2: MISSED}), NDCG) is None


def test_holm_is_over_all_rows_and_sets_of_a_metric() -> None:
    raw = {("MSL", "games"): 0.04, ("MSL", "office"): 0.01, ("S-DPO", "games"): 0.02}
    none = Comparison(0, 0, 0, 0, 1, 5, 8)
    found = {place: PairedComparison(replace(none, p_value=p), 3, 0.1, np.zeros(5)) for place, p in raw.items()}
    # The smallest times 3, the next times 2, the largest as it is, but none below a smaller one's.
    adjusted = holm_adjusted(found)
    assert list(adjusted) == list(raw)
    assert list(adjusted.values()) == pytest.approx([0.04, 0.03, 0.04])
    assert holm_adjusted({}) == {}


def test_histogram_counts_those_who_differ_on_either_side_of_zero() -> None:
    edges, counts = histogram(np.array([0.0, -0.1, 0.5, 0.5, 0.0]), bins=2)
    assert edges == pytest.approx([-0.5, 0, 0.5])
    assert counts == [1, 2]
    edges, counts = histogram(np.zeros(3), bins=2)
    assert (edges, counts) == ([-1, 0, 1], [0, 0])


def test_curves_are_read_by_name(tmp_path: Path) -> None:
    run = write_run(job_at(tmp_path, "sft", 1), MISSED)
    assert run.curves["train/loss"] == [(0, 3.5), (1, 3.25)]
    assert run.id == "games-sim/next_item/tiny/sft/0000000000000001/rankings/e"
