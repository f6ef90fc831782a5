"""What a sweep says at its end."""

import json
from pathlib import Path

import pytest

from llmrec.launcher.pool import Outcome
from llmrec.launcher.summary import print_summary
from llmrec.training.plan import Job
from llmrec.training.run_folder import RunFolder


def finished(folder: Path, name: str, view: str, **figures: float) -> Outcome:
    """A job that is done, with its NDCG@10 by split."""
    record = folder / name
    record.mkdir()
    splits = {split: {view: {"ndcg@10": value}} for split, value in figures.items()}
    (record / "metrics.json").write_text(json.dumps({"splits": splits}))
    return Outcome(Job((), RunFolder(folder), record, (), name), "done")


def test_tasks_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    msl = finished(tmp_path, "games-next_item-msl-1", "by_title", valid=0.1, test=0.2)
    alro = finished(tmp_path, "games-rerank-alro-1", "by_list", valid=0.5, test=0.6)
    print_summary([alro, msl], [(), ()])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "NDCG@10, full catalogue  validation        test",
        "games-next_item-msl-1        0.1000      0.2000",
        "",
        "NDCG@10, lists           validation        test",
        "games-rerank-alro-1          0.5000      0.6000",
        "",
        "2 of 2 jobs are done",
    ]


def test_a_split_that_was_not_measured_has_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([finished(tmp_path, "a-trial", "by_title", valid=0.1)], [()])
    assert "a-trial                      0.1000           -" in capsys.readouterr().out.splitlines()
