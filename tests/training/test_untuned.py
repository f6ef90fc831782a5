"""trainer.epochs=0 measures the model before any tuning, whatever the objective."""

from pathlib import Path

import pytest

from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.training.small import composed

FIGURES = {"sft": {"ndcg@10", "hr@10", "loss"}, "dpo": {"ndcg@10", "hr@10", "loss"}, "alro": {"ndcg@10"}}


@pytest.mark.parametrize("objective", FIGURES)
def test_nothing_is_trained(objective: str, tmp_path: Path, cache: Path) -> None:
    overrides = (f"objective={objective}", "stage=none", "trainer.epochs=0")
    with composed(tmp_path, f"paths.cache={cache}", *overrides) as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    assert run.training["optimizer_steps"] == 0
    assert run.training["chosen_by"].keys() == {f"valid/{name}" for name in FIGURES[objective]} | {"rows", "users"}
    assert list(run.folder.glob("rankings/*/metrics.json"))
