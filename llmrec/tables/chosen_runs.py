"""Finds the finished rankings of runs that a user chose, and names them for a comparison."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from llmrec.errors import InputError
from llmrec.tables.records import OVERRIDES
from llmrec.tables.runs import Run
from llmrec.training.plan import YAML_LOADER, Job, read_overrides, run_overrides
from llmrec.training.run_folder import METRICS, RunFolder

NO_SETTING = ("seed", "paths", "logger", "launcher", "search", "experiment", "scale")
"""Groups of a config in which runs of the same recommender may differ."""

DETERMINISTIC = ("itemknn", "mean_rating", "popularity")
"""Baselines without randomness."""


@dataclass(frozen=True)
class ChosenRun:
    """A finished ranking of a run.

    Attributes:
        run: The run with this ranking.
    """

    run: Run

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.run.job.run.folder

    @property
    def recommender(self) -> str:
        """Name of the objective or baseline, such as "msl"."""
        return self.folder.parent.name

    @property
    def backbone(self) -> str:
        """Name of the backbone and adapter; "baseline" for a baseline."""
        return self.folder.parent.parent.name

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return int(self.run.training["seed"])

    @property
    def is_deterministic(self) -> bool:
        """Whether the seed does not change the recommender, so that one run represents all seeds."""
        return self.backbone == "baseline" and self.recommender in DETERMINISTIC

    @cached_property
    def settings(self) -> str:
        """All settings of the recommender but the seed, as text; equal for runs that differ by their seed only."""
        loaded = yaml.load(self.run.job.run.config_file.read_text(encoding="utf-8"), YAML_LOADER) or {}
        kept = {name: group for name, group in loaded.items() if name not in NO_SETTING}
        stages = kept.get("stage") or {}
        kept["stage"] = {
            name: _without_seed(value) if isinstance(value, list) else value for name, value in stages.items()
        }
        named = [self.recommender, self.backbone, self.run.record["decoding"], kept]
        return json.dumps(named, sort_keys=True, default=str)

    @property
    def overrides(self) -> list[str]:
        """The command-line overrides that change the recommender, without the seed."""
        return _without_seed(run_overrides(self.run.job.overrides))


def finished_runs(folders: Sequence[Path]) -> tuple[list[ChosenRun], list[str]]:
    """Returns every ranking of the test split in some runs, and a line for each run that has none.

    Raises:
        InputError: None of the runs has such a ranking, or a record is damaged.
    """
    found, skipped = [], []
    for folder in folders:
        run = RunFolder(folder.resolve())
        rankings = sorted(file.parent for file in run.folder.glob(f"rankings/[!.]*/{METRICS}")) if run.trained else []
        file = run.folder / OVERRIDES
        overrides = tuple(read_overrides(file)) if file.is_file() else ()
        runs = [Run(Job(overrides, run, ranking, "", (), run.folder.parent.name)) for ranking in rankings]
        tested = [ChosenRun(each) for each in runs if "test" in each.record["splits"]]
        found += tested
        if not tested:
            skipped.append(f"{folder} is left out: it {'has no ranking of test' if run.trained else 'is not trained'}.")
    if not found:
        raise InputError(
            f"none of the {len(folders)} runs can be compared: {skipped[0]} Finish runs with python -m llmrec.run, and "
            "rank test with python -m llmrec.evaluate run=... evaluation.splits=[test]"
        )
    return found, skipped


def grouped(runs: Sequence[ChosenRun]) -> list[list[ChosenRun]]:
    """Groups runs that are comparable: of the same dataset and split, with the same test rows for the same task."""
    groups: list[list[ChosenRun]] = []
    for run in runs:
        for group in groups:
            if _protocol(run.run) == _protocol(group[0].run) and run.run.ranks_rows_of(group[0].run):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def recommenders(group: Sequence[ChosenRun]) -> dict[str, dict[int, ChosenRun]]:
    """Returns the runs of a group by name of the recommender and by seed.

    Runs that differ by their seed only are one recommender. Names are those of the objective or baseline, with as much
    of backbone, overrides, decoding and key as distinguishes them.
    """
    rows: dict[tuple[str, int], dict[int, ChosenRun]] = {}
    for run in group:
        if run.is_deterministic and (run.settings, 0) in rows:
            continue
        copy = 0
        # Code or data of an earlier version: the same settings and seed, but another run.
        while run.seed in rows.get((run.settings, copy), {}):
            copy += 1
        rows.setdefault((run.settings, copy), {})[run.seed] = run
    found = list(rows.values())
    return dict(zip(_names([next(iter(row.values())) for row in found]), found, strict=True))


def _names(runs: Sequence[ChosenRun]) -> list[str]:
    parts: tuple[Callable[[ChosenRun, Sequence[ChosenRun]], str], ...] = (
        lambda run, _: run.backbone,
        lambda run, same: " ".join(w for w in run.overrides if not all(w in other.overrides for other in same)),
        _decoding,
        lambda run, _: run.folder.name[:8],
        lambda run, _: run.run.job.record.name[:8],
    )
    names = [run.recommender for run in runs]
    for part in parts:
        same = [[other for other, n in zip(runs, names, strict=True) if n == name] for name in names]
        added = [part(run, others) if len(others) > 1 else "" for run, others in zip(runs, same, strict=True)]
        telling = [len({part(other, others) for other in others}) > 1 for others in same]
        names = [f"{n}, {a}" if a and t else n for n, a, t in zip(names, added, telling, strict=True)]
    return names


def named_run(text: str, rows: dict[str, dict[int, ChosenRun]]) -> str | None:
    """Returns the name of the recommender that `against=` means in a group; None if the group has no such one.

    Args:
        text: A run's folder or key, or the name of an objective, a baseline or a recommender.
        rows: The recommenders of the group, as from `recommenders`.

    Raises:
        InputError: Several recommenders have that name.
    """
    if text in rows:
        return text
    folder = Path(text).resolve()
    found = [
        name
        for name, row in rows.items()
        if any(folder == run.folder or text in (run.folder.name, run.recommender) for run in row.values())
    ]
    if len(found) > 1:
        keys = "; ".join(f"'{name}' of key {next(iter(rows[name].values())).folder.name}" for name in found)
        raise InputError(
            f"against={text}: {len(found)} recommenders match. Give the key or the full name of one: {keys}"
        )
    return found[0] if found else None


def _decoding(run: ChosenRun, same: Sequence[ChosenRun]) -> str:
    """Returns the decoding settings by which a ranking differs from others."""
    return ", ".join(
        f"{name}={json.dumps(setting)}".replace('"', "")
        for name, setting in run.run.record["decoding"].items()
        if name != "_target_" and any(other.run.record["decoding"].get(name) != setting for other in same)
    )


def _protocol(run: Run) -> tuple[Any, ...]:
    return run.test["dataset"], run.task, run.test.get("split_by")


def _without_seed(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("seed=")]
