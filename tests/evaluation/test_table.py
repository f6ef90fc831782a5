"""The table at the end of a run."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from llmrec.evaluation.table import final_table, print_final_table

ACCURACY = {"ndcg@5": 0.01, "ndcg@10": 0.0173, "hr@1": 0.004, "hr@5": 0.02, "hr@10": 0.03, "mrr@10": 0.011}
FLOOR = dict.fromkeys(ACCURACY, 0.0035)
SPLIT = {
    "dataset": "games-sim",
    "simulated": True,
    "users": 14940,
    "by_title": ACCURACY,
    "popularity_floor": {"by_title": FLOOR},
    "best_ndcg10": 0.2468,
}
SECONDS = {"data": 1.25, "pretraining": 30.0, "training": 61.04, "evaluation": 12.0}


def printed(capsys: pytest.CaptureFixture[str], metrics: dict, folder: str = "runs/games-sim") -> list[str]:
    print_final_table(metrics, SECONDS, Path(folder))
    return capsys.readouterr().out.splitlines()


def test_rows_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"valid": SPLIT, "test": SPLIT})
    cells = [line.split() for line in lines]
    headings = ["split", "recommender", "NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR@10"]
    assert headings in cells
    assert lines[0].split("; ")[1].strip() == "users: validation 14,940, test 14,940"
    assert ["test", "model", "0.0100", "0.0173", "0.0040", "0.0200", "0.0300", "0.0110"] in cells
    assert ["validation", "popularity", "floor", *["0.0035"] * 6] in cells
    assert ["test", "best", "possible", "-", "0.2468", "-", "-", "-", "-"] in cells


def test_plain_text_of_at_most_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, {"valid": SPLIT, "test": SPLIT})
    assert max(map(len, lines)) <= 100
    assert not any("\x1b" in line for line in lines)


def test_a_terminal_of_80_columns_cuts_nothing_off() -> None:
    console = Console(width=80, file=StringIO(), record=True)
    console.print(final_table({"valid": SPLIT, "test": SPLIT}, SECONDS, Path("runs/games-sim")))
    assert "…" not in console.export_text()


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
