"""What a sweep says at its end."""

import json
from pathlib import Path

import pytest

from llmrec.launcher.pool import Outcome
from llmrec.launcher.summary import print_summary, validation_score
from llmrec.tasks.base import Task
from llmrec.tasks.next_item import NextItem
from llmrec.tasks.rerank import Rerank
from llmrec.training.plan import Job
from llmrec.training.run_folder import RunFolder


def finished(folder: Path, name: str, task: type[Task], **figures: float) -> Outcome:
    """Returns a job of a task that is done, with its headline by split."""
    record = folder / name
    record.mkdir()
    view, _, figure = task.headline.partition(".")
    headline = {"path": task.headline, "label": task.headline_label}
    splits = {split: {view: {figure: value}} for split, value in figures.items()}
    (record / "metrics.json").write_text(json.dumps({"headline": headline, "splits": splits}))
    return Outcome(Job((), RunFolder(folder), record, "key", (), name), "done")


def test_tasks_stand_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    msl = finished(tmp_path, "games-next_item-msl-1", NextItem, valid=0.1, test=0.2)
    alro = finished(tmp_path, "games-rerank-alro-1", Rerank, valid=0.5, test=0.6)
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


def test_a_search_reads_the_headline_of_the_record(tmp_path: Path) -> None:
    assert validation_score(finished(tmp_path, "measured", Rerank, valid=0.25, test=0.5).job) == 0.25
    assert validation_score(finished(tmp_path, "test-only", NextItem, test=0.5).job) is None
    own = finished(tmp_path, "own", NextItem, valid=0.25)
    headline = {"path": "novelty.list.mean", "label": "novelty"}
    record = {"headline": headline, "splits": {"valid": {"novelty": {"list": {"mean": 0.75}}}}}
    (own.job.record / "metrics.json").write_text(json.dumps(record))
    assert validation_score(own.job) == 0.75


def test_a_split_that_was_not_measured_has_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([finished(tmp_path, "a-trial", NextItem, valid=0.1)], [()])
    assert "a-trial                      0.1000           -" in capsys.readouterr().out.splitlines()
