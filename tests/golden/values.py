"""Computes the golden values of the components: by runs, and directly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.golden import direct, program
from tests.golden.base_model import save_base_model
from tests.golden.cases import BASE_MODEL, ITEM_TOKENS, RUNS, UNTUNED, Case
from tests.golden.digests import metric_values, ranking_values, weight_changes
from tests.golden.item_tokens import save_item_tokens

Values = dict[str, dict[str, Any]]
"""Case -> kind of value, such as "curves" -> numbers and texts, nested in any way."""


class Golden:
    """Runs golden cases in a folder, each run once, and returns their values."""

    def __init__(self, root: Path) -> None:
        self.root, self.base_model, self.item_tokens = root, root / "base_model", root / "tokens.index.json"
        self.folders: dict[tuple[str, str], Path] = {}
        save_base_model(self.base_model)
        save_item_tokens(self.item_tokens)

    def values(self, component: str) -> Values:
        """Returns the values of a component."""
        by_runs = {name: self.run_values(case) for name, case in RUNS.get(component, {}).items()}
        compute = direct.COMPONENTS.get(component)
        return by_runs | ({} if compute is None else compute(self.root, self.filled))

    def run_values(self, case: Case) -> dict[str, Any]:
        """Returns the values of a case."""
        for stage in case.stages:
            self._folder(case.settings, stage)
        folder = self._folder(case.settings, case.own, case.interrupted_after)
        found: dict[str, Any] = {}
        if "curves" in case.kinds:
            found["curves"] = program.curves(folder)
        if "training" in case.kinds:
            found["training"] = program.training(folder)
        if "weights" in case.kinds:
            found["weights"] = weight_changes(program.weights(folder), self._start(case, folder))
        for name, overrides in case.evaluations.items():
            record = program.evaluate(self.root, folder, self.filled(overrides).split())
            if "rankings" in case.kinds:
                found[f"rankings, {name}"] = ranking_values(program.rankings(record))
            if "metrics" in case.kinds:
                found[f"metrics, {name}"] = metric_values(program.metrics(record))
        return found

    def _folder(self, settings: str, own: str, interrupted_after: int | None = None) -> Path:
        """Returns the folder of a run, which is done first if necessary."""
        key = settings, f"{own}, interrupted after {interrupted_after}"
        if key not in self.folders:
            # An uninterrupted run of the same settings would be found as done.
            root = self.root if interrupted_after is None else self.root / "interrupted"
            arguments = self.filled(f"{settings} {own}").split()
            if interrupted_after is not None:
                program.interrupt(root, arguments, interrupted_after)
            self.folders[key] = program.run(root, arguments)
        return self.folders[key]

    def _start(self, case: Case, folder: Path) -> Mapping[str, Tensor]:
        """Returns the weights that a training started with; none for the untuned model."""
        if UNTUNED in case.own:
            return {}
        return program.weights(program.stage(folder) or self._folder(case.settings, UNTUNED))

    def filled(self, overrides: str) -> str:
        """Returns overrides with the paths of files in place of their names."""
        return overrides.replace(BASE_MODEL, str(self.base_model)).replace(ITEM_TOKENS, str(self.item_tokens))
