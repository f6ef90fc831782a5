"""An objective may end the training early and take smaller steps than the trainer's."""

from pathlib import Path

import pytest

from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.training.small import composed

DPO = ("objective=dpo", "stage=none", "trainer.epochs=2", "trainer.warmup_steps=1")


@pytest.mark.parametrize(("most", "steps"), [(1, 3), (2, 6), (5, 6), ("null", 6)])
def test_training_ends_with_the_fewer_epochs_and_decays_over_them(
    most: int | str, steps: int, tmp_path: Path, cache: Path
) -> None:
    with composed(tmp_path, f"paths.cache={cache}", *DPO, f"objective.max_epochs={most}") as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    assert run.training["optimizer_steps"] == steps
    lines = (run.folder / "curves.csv").read_text().splitlines()
    rates = [float(line.split(",")[2]) for line in lines if ",train/learning_rate," in line]
    # The full rate, a tenth of the trainer's 1e-3, at the first step; what is logged is that of the step to come.
    expected = [1e-4 * (steps - step) / (steps - 1) for step in range(1, steps + 1)]
    assert rates == pytest.approx(expected, abs=1e-9)
