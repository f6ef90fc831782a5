"""trainer.patience ends a training that no longer gets better on validation, also one that was interrupted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.tiers import rest_slow
from tests.training.given_validation import SIX_EPOCHS, Killed, curves, kill_at_step, trained, validated
from tests.training.small import composed, resolved

TIED = (0.1, 0.3, 0.2, 0.3, 0.4, 0.5)
"""Epoch 3 has the value of epoch 1, which is no improvement; all that follow would be."""
RECORDED = ("stopped_after_epoch", "chosen_epoch", "chosen_by", "optimizer_steps")


@pytest.mark.parametrize(
    ("values", "patience", "every", "stopped", "chosen", "steps"),
    [
        (TIED, "null", 1, None, 5, 18),
        (TIED, 1, 1, 2, 1, 9),
        (TIED, 2, 1, 3, 1, 12),
        # The improvement of epoch 4 comes before the third validation without one.
        (TIED, 3, 1, None, 5, 18),
        # Epochs 1, 3 and 5 are validated.
        (TIED, 1, 2, 3, 1, 12),
        (TIED, 2, 2, None, 5, 18),
        # Patience ends with the last epoch, so nothing is left out.
        ((0.1, 0.2, 0.3, 0.4, 0.3, 0.3), 2, 1, None, 3, 18),
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 2, 1, 2, 0, 9),
    ],
)
def test_training_ends_after_the_validations_that_patience_allows(
    values: Sequence[float],
    patience: int | str,
    every: int,
    stopped: int | None,
    chosen: int,
    steps: int,
    tmp_path: Path,
    cache: Path,
) -> None:
    settings = (f"trainer.patience={patience}", f"validation.every={every}")
    config = resolved(tmp_path, f"paths.cache={cache}", *SIX_EPOCHS, *settings)
    with validated(values):
        record = trained(tmp_path / "run", config)
    assert [record[name] for name in ("stopped_after_epoch", "chosen_epoch", "optimizer_steps")] == [
        stopped, chosen, steps,
    ]  # fmt: skip
    assert record["timed_epochs"] == steps / 3


def test_steps_of_a_stopped_run_are_those_of_the_whole_training(tmp_path: Path, cache: Path) -> None:
    settings = (f"paths.cache={cache}", *SIX_EPOCHS)
    with validated(TIED):
        trained(tmp_path / "whole", resolved(tmp_path, *settings))
    with validated(TIED), composed(tmp_path, *settings, "trainer.patience=2") as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    assert run.training["stopped_after_epoch"] == 3
    assert list(run.folder.glob("rankings/*/metrics.json"))
    found, whole = curves(run.folder), curves(tmp_path / "whole")
    assert found == {name: value for name, value in whole.items() if int(name.split(",")[0]) < 12}
    # Two steps of warm-up, then a decay to zero over 18 steps; what is logged is the rate of the step to come.
    rates = [found[f"{step},train/learning_rate"] for step in range(12)]
    assert rates == pytest.approx([1e-3 * min(1, (18 - step) / 16) for step in range(1, 13)], abs=1e-9)


@pytest.mark.parametrize(("killed_at", "steps"), rest_slow([(8, 1), (8, "null"), (4, "null"), (10, "null"), (10, 1)]))
def test_interrupted_training_ends_where_an_uninterrupted_one_does(
    killed_at: int, steps: int | str, tmp_path: Path, cache: Path
) -> None:
    settings = ("trainer.patience=2", f"trainer.checkpoint_steps={steps}")
    config = resolved(tmp_path, f"paths.cache={cache}", *SIX_EPOCHS, *settings)
    with validated(TIED):
        expected = trained(tmp_path / "whole", config)
    with validated(TIED) as patch:
        kill_at_step(patch, killed_at)
        with pytest.raises(Killed):
            trained(tmp_path / "resumed", config)
    with validated(TIED):
        assert_equal(trained(tmp_path / "resumed", config), expected, tmp_path)


def test_training_that_was_killed_after_it_stopped_trains_no_further(tmp_path: Path, cache: Path) -> None:
    def killed(*_: object) -> None:
        raise Killed

    config = resolved(tmp_path, f"paths.cache={cache}", *SIX_EPOCHS, "trainer.patience=2")
    with validated(TIED):
        expected = trained(tmp_path / "whole", config)
    with validated(TIED) as patch:
        # The last epoch's checkpoint is there, the weights are not.
        patch.setattr("llmrec.training.train._save", killed)
        with pytest.raises(Killed):
            trained(tmp_path / "resumed", config)
    with validated(TIED):
        resumed = trained(tmp_path / "resumed", config)
    assert resumed["timed_epochs"] == 0
    assert_equal(resumed, expected, tmp_path)


def test_patience_beyond_the_epochs_changes_nothing_but_the_key(tmp_path: Path, cache: Path) -> None:
    runs = []
    for patience in ("null", "3"):
        with composed(tmp_path, f"paths.cache={cache}", f"trainer.patience={patience}") as config:
            run_configuration(config)
            runs.append(RunFolder(tmp_path / "runs" / run_path(config)))
    without, patient = runs
    assert without.folder != patient.folder
    assert_same_weights(patient.folder, without.folder)
    assert curves(patient.folder) == curves(without.folder)
    assert [patient.training[name] for name in RECORDED] == [without.training[name] for name in RECORDED]
    assert patient.training["stopped_after_epoch"] is None


def assert_equal(resumed: dict[str, Any], expected: dict[str, Any], root: Path) -> None:
    """Records, curves and weights are those of the uninterrupted training."""
    assert [resumed[name] for name in RECORDED] == [expected[name] for name in RECORDED]
    assert curves(root / "resumed") == curves(root / "whole")
    assert_same_weights(root / "resumed", root / "whole")


def assert_same_weights(found: Path, expected: Path) -> None:
    """The saved weights are equal to the bit."""
    weights, theirs = (load_file(run / "weights" / "model.safetensors") for run in (found, expected))
    assert weights.keys() == theirs.keys()
    assert all(torch.equal(weight, theirs[name]) for name, weight in weights.items())
