"""What is compared of a golden run: curves, the change of the weights, rankings, metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.golden import program
from tests.golden.base_model import save_base_model
from tests.golden.cases import BASE_MODEL, BOTH_SPLITS, FAMILIES, UNTUNED
from tests.golden.digests import metric_values, ranking_values, weight_changes, without_details

Values = dict[str, dict[str, Any]]
"""Kind of value (such as "curves") -> name -> numbers and texts, nested in any way."""


class Runs:
    """Has golden runs done in a folder, each once, and gives their values."""

    def __init__(self, root: Path) -> None:
        self.root, self.base_model = root, root / "base_model"
        self.folders: dict[tuple[str, str], Path] = {}
        save_base_model(self.base_model)

    def values(self, family: str, name: str) -> Values:
        """Returns what is compared of a case."""
        case = FAMILIES[family].cases[name]
        for stage in case.stages:
            self._folder(family, stage)
        folder = self._folder(family, case.own)
        found: Values = {
            "curves": program.curves(folder),
            "training": program.training(folder),
            "weights": weight_changes(program.weights(folder), self._start(family, case.own, folder)),
        }
        for evaluation, overrides in case.evaluations.items():
            record = program.evaluate(self._root(family), folder, self._arguments(overrides))
            found[f"rankings, {evaluation}"] = ranking_values(program.rankings(record))
            metrics = metric_values(program.metrics(record))
            found[f"metrics, {evaluation}"] = metrics if evaluation in BOTH_SPLITS else without_details(metrics)
        return found

    def _folder(self, family: str, own: str) -> Path:
        """Returns the folder of the run with these overrides beside those of the family."""
        if (family, own) not in self.folders:
            arguments = self._arguments(f"{FAMILIES[family].settings} {own}")
            self.folders[family, own] = program.run(self._root(family), arguments)
        return self.folders[family, own]

    def _start(self, family: str, own: str, folder: Path) -> Mapping[str, Tensor]:
        """Returns the weights that a training started with: none for a baseline and for the untuned model."""
        if own == UNTUNED or own.startswith("baseline="):
            return {}
        return program.weights(program.stage(folder) or self._folder(family, UNTUNED))

    def _arguments(self, overrides: str) -> list[str]:
        return overrides.replace(BASE_MODEL, str(self.base_model)).split()

    def _root(self, family: str) -> Path:
        # A run has the same folder and cache whatever the number of its ranks.
        return self.root / family
