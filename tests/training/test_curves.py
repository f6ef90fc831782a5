"""curves.csv across kills: the lines of the interrupted epoch go, the others stay."""

from pathlib import Path

from llmrec.training.curves import CurvesLogger


def test_values_are_appended_one_line_each_without_the_epoch(tmp_path: Path) -> None:
    curves = CurvesLogger(tmp_path / "curves.csv")
    curves.rewind(0)
    curves.log_metrics({"train/loss": 1.5, "epoch": 0.0, "train/temperature": 2.0}, 3)
    assert lines(tmp_path) == ["step,metric,value", "3,train/loss,1.5", "3,train/temperature,2"]


def test_rewind_drops_the_step_and_what_follows_it(tmp_path: Path) -> None:
    curves = CurvesLogger(tmp_path / "curves.csv")
    curves.rewind(0)
    for step in range(4):
        curves.log_metrics({"train/loss": float(step)}, step)
    curves.rewind(2)
    assert lines(tmp_path) == ["step,metric,value", "0,train/loss,0", "1,train/loss,1"]


def test_rewind_drops_a_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text("step,metric,value\n0,train/loss,1\n1,train/lo")
    CurvesLogger(tmp_path / "curves.csv").rewind(5)
    assert lines(tmp_path) == ["step,metric,value", "0,train/loss,1"]


def test_rewind_to_the_start_drops_the_curves_of_an_older_attempt(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text("step,metric,value\n0,train/loss,1\n")
    CurvesLogger(tmp_path / "curves.csv").rewind(0)
    assert lines(tmp_path) == ["step,metric,value"]


def lines(folder: Path) -> list[str]:
    """The lines of curves.csv."""
    return (folder / "curves.csv").read_text().splitlines()
