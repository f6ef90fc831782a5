"""The table at the end of a run."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from llmrec.metrics.base import Metric, RowMetric
from llmrec.metrics.ranking import CatalogueRanking
from llmrec.metrics.shipped import CATALOGUE
from llmrec.tasks.catalogue_tables import catalogue_tables
from llmrec.tasks.console import final_table, print_record

ACCURACY = {"ndcg@5": 0.01, "ndcg@10": 0.0173, "hr@1": 0.004, "hr@5": 0.02, "hr@10": 0.03, "mrr@10": 0.011}
FLOOR = dict.fromkeys(ACCURACY, 0.0035)
SPLIT: dict[str, Any] = {
    "dataset": "games-sim",
    "simulated": True,
    "rows": 14940,
    "users": 12345,
    "by_title": ACCURACY,
    "popularity_baseline": {"by_title": FLOOR},
    "best_ndcg10": 0.2468,
}
SPREAD = {"head20_share": 0.61, "coverage": 0.0525, "gini": 0.975, "average_popularity": 12.5}
FAIRNESS = SPREAD | {"popularity": {"groups": 5, "mgu@5": 0.1821, "dgu@5": 0.7, "mgu@10": 0.19, "dgu@10": 0.8}}
FLOOR_FAIRNESS = FAIRNESS | {"head20_share": 1.0}
FAIR_SPLIT = SPLIT | {
    "fairness": FAIRNESS,
    "popularity_baseline": {"by_title": FLOOR, "fairness": FLOOR_FAIRNESS},
}
RELEVANCE = {"relevance": {"groups": 5, "mgu@5": 0.25}, "top20_relevance_share": 0.8}
RELEVANT_SPLIT = SPLIT | {
    "fairness": FAIRNESS | RELEVANCE,
    "popularity_baseline": {"by_title": FLOOR, "fairness": FLOOR_FAIRNESS | RELEVANCE},
}
HALLUCINATION = {"hallucination": {"semantic_share": 0.3456, "wrong_top1": 900, "threshold": 0.4}}
EMBEDDED_SPLIT = RELEVANT_SPLIT | {
    "hallucination": HALLUCINATION["hallucination"] | {"semantic_share": 0.1234},
    "popularity_baseline": RELEVANT_SPLIT["popularity_baseline"] | HALLUCINATION,
}
FULL_SPLIT = EMBEDDED_SPLIT | {"unconstrained": {"invalid_title_rate": 0.25, "rows": 14940}}
PROTOCOL = "protocol: valid 1f0a93cc, test 80b2e4d7"
SECONDS = {"data": 1.25, "pretraining": 30.0, "training": 61.04, "evaluation": 12.0}


def printed(
    capsys: pytest.CaptureFixture[str],
    splits: dict[str, dict[str, Any]],
    folder: str = "runs/games-sim",
    metrics: Sequence[Metric] = CATALOGUE,
) -> list[str]:
    """Returns the lines that are printed of the records of some splits."""
    print_record(catalogue_tables(splits, metrics), splits, SECONDS, Path(folder), PROTOCOL)
    return capsys.readouterr().out.splitlines()


def test_rows_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"valid": SPLIT, "test": SPLIT})
    runs = [line.split() for line in lines]
    headings = ["split", "recommender", "NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR@10"]
    assert headings in runs
    counts = "14,940 rows of 12,345 users"
    assert [line.strip() for line in lines[1:3]] == [f"validation: {counts}", f"test: {counts}"]
    assert ["test", "model", "0.0100", "0.0173", "0.0040", "0.0200", "0.0300", "0.0110"] in runs
    assert ["validation", "popularity", *["0.0035"] * 6] in runs
    assert ["test", "best", "possible", "-", "0.2468", "-", "-", "-", "-"] in runs


def test_fairness_stands_below_the_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [line.split() for line in printed(capsys, {"valid": FAIR_SPLIT, "test": FAIR_SPLIT})]
    heading = runs.index(["split", "recommender", "pop.", "pop.", "20", "%", "age", "Gini"])
    assert runs[heading - 1] == ["MGU@5", "DGU@5", "head", "cover-"]
    model = ["0.1821", "0.7000", "0.6100", "0.0525", "0.9750"]
    floor = ["0.1821", "0.7000", "1.0000", "0.0525", "0.9750"]
    assert runs[heading + 2 : heading + 6] == [
        ["validation", "model", *model],
        ["validation", "popularity", *floor],
        ["test", "model", *model],
        ["test", "popularity", *floor],
    ]
    assert heading > runs.index(["split", "recommender", "NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR@10"])


def test_relevance_has_its_columns_when_it_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [line.split() for line in printed(capsys, {"test": RELEVANT_SPLIT})]
    assert ["MGU@5", "MGU@5", "DGU@5", "head", "cover-", "rel."] in runs
    assert ["split", "recommender", "pop.", "rel.", "pop.", "20", "%", "age", "Gini", "20", "%"] in runs
    assert ["test", "model", "0.1821", "0.2500", "0.7000", "0.6100", "0.0525", "0.9750", "0.8000"] in runs


def test_harm_has_its_columns_when_it_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [line.split() for line in printed(capsys, {"valid": EMBEDDED_SPLIT, "test": FULL_SPLIT})]
    heading = next(number for number, line in enumerate(runs) if line[:3] == ["split", "recommender", "pop."])
    assert runs[heading - 1][-3:] == ["rel.", "sem.", "invalid"]
    assert runs[heading][-4:] == ["20", "%", "hall.", "titles"]
    assert [(*line[:2], *line[-2:]) for line in runs[heading + 2 : heading + 6]] == [
        ("validation", "model", "0.1234", "-"),
        ("validation", "popularity", "0.3456", "-"),
        ("test", "model", "0.1234", "0.2500"),
        ("test", "popularity", "0.3456", "-"),
    ]


def test_a_baseline_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [line.split() for line in printed(capsys, {"test": FAIR_SPLIT | {"recommender": "sasrec"}})]
    assert [line[:2] for line in runs].count(["test", "sasrec"]) == 2
    assert not any("model" in line for line in runs)


def test_what_only_the_floor_has_is_a_dash_for_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    silent = {key: value for key, value in FAIR_SPLIT.items() if key != "fairness"}
    runs = [line.split() for line in printed(capsys, {"valid": FAIR_SPLIT, "test": silent})]
    assert ["test", "model", *["-"] * 5] in runs


def test_a_record_without_fairness_has_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"test": SPLIT})
    assert sum("recommender" in line for line in lines) == 1
    assert not any("fairness" in line for line in lines)


def test_few_users_are_warned_of_below_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"valid": SPLIT | {"users": 100}, "test": SPLIT | {"users": 99, "rows": 538}})
    assert lines[2].strip() == "test: 538 rows of 99 users"
    warnings = [line.strip() for line in lines if "warning" in line]
    assert warnings == ["warning: test has 99 users, fewer than 100: standard errors and intervals are rough"]


def test_a_split_that_leaves_one_out_is_named_below_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    note = "games-sim: split leave_one_out: training rows of some users are later than test rows of others"
    assert note not in " ".join(printed(capsys, {"test": SPLIT | {"split_by": "time"}}))
    assert note in " ".join(printed(capsys, {"test": SPLIT | {"split_by": "leave_one_out"}}))


def test_plain_text_of_at_most_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"valid": FULL_SPLIT, "test": FULL_SPLIT})
    assert max(map(len, lines)) <= 100
    assert not any("\x1b" in line for line in lines)


def narrow(split: dict[str, Any]) -> str:
    """Returns the tables as in a terminal of 80 columns."""
    console = Console(width=80, file=StringIO(), record=True)
    splits = {"valid": split, "test": split}
    console.print(final_table(catalogue_tables(splits, CATALOGUE), splits, SECONDS, Path("runs/games-sim"), PROTOCOL))
    return console.export_text()


def test_a_terminal_of_80_columns_cuts_nothing_off() -> None:
    assert "…" not in narrow(EMBEDDED_SPLIT)
    assert [line.split()[:2] for line in narrow(EMBEDDED_SPLIT).splitlines()].count(["test", "popularity"]) == 2


def test_all_columns_wrap_the_labels_there() -> None:
    text = narrow(FULL_SPLIT)
    assert "…" not in text
    runs = [line.split() for line in text.splitlines()]
    model = runs.index(
        ["test", "0.1821", "0.2500", "0.7000", "0.6100", "0.0525", "0.9750", "0.8000", "0.1234", "0.2500"]
    )
    assert runs[model + 1] == ["model"]


def test_what_stands_beneath(capsys: pytest.CaptureFixture[str]) -> None:
    folder = "runs/" + "a-very-long-name/" * 10
    lines = printed(capsys, {"test": SPLIT}, folder)
    assert "seconds: data 1.2, pretraining 30.0, training 61.0, evaluation 12.0" in lines
    assert f"record: {Path(folder)}" in lines
    assert lines[-1].startswith("SIMULATED data (games-sim)")


def test_real_data_and_short_lists(capsys: pytest.CaptureFixture[str]) -> None:
    real = SPLIT | {"dataset": "games", "simulated": False, "by_title": {"hr@1": 0.004}}
    del real["best_ndcg10"]
    lines = printed(capsys, {"test": real})
    assert not any("SIMULATED" in line or "best possible" in line for line in lines)
    assert ["test", "model", "-", "-", "0.0040", "-", "-", "-"] in [line.split() for line in lines]


class Novelty(RowMetric):
    """A user's own metric."""

    label = "novelty"

    def values(self, ranking: CatalogueRanking) -> np.ndarray:
        return np.ones(len(ranking.rows))


def test_a_metric_of_ones_own_has_its_column_last(capsys: pytest.CaptureFixture[str]) -> None:
    own = Novelty()
    own.name = "novelty"
    record = FAIR_SPLIT | {"novelty": {"mean": 0.875, "se": 0.01}}
    runs = [line.split() for line in printed(capsys, {"test": record}, metrics=[*CATALOGUE, own])]
    assert ["split", "recommender", "pop.", "pop.", "20", "%", "age", "Gini", "novelty"] in runs
    assert ["test", "model", "0.1821", "0.7000", "0.6100", "0.0525", "0.9750", "0.8750"] in runs
    assert ["test", "popularity", "0.1821", "0.7000", "1.0000", "0.0525", "0.9750", "-"] in runs


def test_exact_search_has_a_line_of_its_own() -> None:
    search = {"certified": 0.995, "prefixes": 41.25, "model_calls": 4.5}
    *_, line = catalogue_tables({"test": SPLIT | {"list_length": 10, "search": search}}, CATALOGUE)
    expected = "test: exact top 10 for 99.5% of rows; 41.2 prefixes, 4.5 model calls a row"
    assert str(line) == expected
    assert len(expected) < 80
