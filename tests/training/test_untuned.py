"""trainer.epochs=0 measures the model before any tuning, whatever the objective."""

from pathlib import Path

import pytest

from llmrec.training.cells import Cell, cell_path
from llmrec.training.run_cell import run_cell
from tests.training.small import composed

FIGURES = {"sft": {"ndcg@10", "hr@10", "loss"}, "dpo": {"ndcg@10", "hr@10", "loss"}, "alro": {"ndcg@10"}}


@pytest.mark.parametrize("objective", FIGURES)
def test_nothing_is_trained(objective: str, tmp_path: Path, cache: Path) -> None:
    overrides = (f"objective={objective}", "stage=none", "trainer.epochs=0")
    with composed(tmp_path, f"paths.cache={cache}", *overrides) as config:
        run_cell(config)
        cell = Cell(tmp_path / "runs" / cell_path(config))
    assert cell.training["optimizer_steps"] == 0
    assert cell.training["chosen_by"].keys() == {f"valid/{name}" for name in FIGURES[objective]} | {"users"}
    assert list(cell.folder.glob("eval/*/metrics.json"))
