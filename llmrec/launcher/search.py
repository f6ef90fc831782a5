"""Hydra's sweeper for a hyperparameter search with Optuna, which selects the best trial on validation only."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.launcher.planned import plain_errors
from llmrec.settings.annotations import parameters_of
from llmrec.settings.trainer import Search
from llmrec.settings.typed import Check
from llmrec.training.stages import config_directories

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution


NO_HYPERPARAMETERS = (
    "dataset", "task", "seed", "scale", "decoding", "evaluation", "validation", "baseline", "experiment", "launcher",
    "logger", "paths", "search",
)  # fmt: skip
"""Config groups and keys that determine what is measured and how, not what is trained."""
DECODING_HYPERPARAMETERS = ("decoding.alpha", "decoding.gamma", "decoding.temperature")
"""Settings of a decoder that lead to other rankings of equal length. Trials that differ in nothing else share a
training."""


class SearchSweeper(Sweeper):
    """Samples trials, has the launcher run them, and prints the best one with the command that measures it on test.

    No study is stored: with the same seed Optuna samples the same trials after the same values, and finished runs are
    read instead of repeated. The same command therefore continues an interrupted search, and a command with more trials
    extends a search with fewer.
    """

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"
    config: DictConfig
    launcher: Launcher

    def __init__(self, trials: int, parallel_trials: int, seed: int, space: Mapping[str, str]) -> None:
        """See conf/experiment/search.yaml."""
        self.trials, self.parallel_trials, self.seed, self.space = trials, parallel_trials, seed, space

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes the sweep's config and opens the launcher (Hydra's interface)."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search (Hydra's interface).

        Args:
            arguments: Overrides from the command line. A range adds its key to the search space, a single value removes
                it from there.
        """
        with plain_errors():
            self._check()
            study = _study(self.seed)
            fixed, space = _split_overrides([*(f"{key}={values}" for key, values in self.space.items()), *arguments])
            trials = self._run(study, fixed, space)
            self._report(trials, fixed)

    def _check(self) -> None:
        if "test" in self.config.evaluation.splits:
            raise InputError(
                f"evaluation.splits={self.config.evaluation.splits}: a search decodes validation alone, since the "
                "best trial must not be chosen on test. Remove this override; the command that is printed at the end "
                "measures test"
            )
        check = Check()
        check.arguments(Search, {name: getattr(self, name) for name in parameters_of(Search)}, "search")
        check.raise_first()

    def _run(
        self, study: "Study", fixed: Sequence[str], space: dict[str, "BaseDistribution"]
    ) -> list[tuple[list[str], float | None]]:
        """Runs all trials and returns the sampled overrides of each with its value, None if it failed."""
        from optuna.trial import TrialState

        ended: list[tuple[list[str], float | None]] = []
        while len(ended) < self.trials:
            batch = [study.ask(space) for _ in range(min(self.parallel_trials, self.trials - len(ended)))]
            sampled = [[f"{key}={_format_value(value)}" for key, value in trial.params.items()] for trial in batch]
            for number, values in enumerate(sampled, len(ended) + 1):
                print(f"trial {number} of {self.trials}: {' '.join(values)}", flush=True)
            jobs = self.launcher.launch([[*fixed, *values] for values in sampled], initial_job_idx=len(ended))
            for trial, values, job in zip(batch, sampled, jobs, strict=True):
                value = _value(job)
                study.tell(trial, value, TrialState.FAIL if value is None else TrialState.COMPLETE)
                ended.append((values, value))
        return ended

    def _report(self, trials: Sequence[tuple[list[str], float | None]], fixed: Sequence[str]) -> None:
        values = [-1.0 if value is None else value for _, value in trials]
        best = max(range(len(trials)), key=values.__getitem__)
        if trials[best][1] is None:
            raise InputError("all trials of the search failed. See their errors above")
        print(f"\n{len(trials)} trials, NDCG@10 on validation:")
        for number, (sampled, value) in enumerate(trials):
            print(
                f"{'*' if number == best else ' '} {'failed' if value is None else f'{value:.4f}'}  {' '.join(sampled)}"
            )
        arguments = [*config_directories(self.config), *self._run_overrides(fixed), *trials[best][0]]
        print(
            "\nTo measure the best trial (*) on test, without training it again:\n"
            f"python -m llmrec.run {shlex.join(arguments)}"
        )

    def _run_overrides(self, fixed: Sequence[str]) -> list[str]:
        """Returns the overrides of a run, without those of the search."""
        overrides = [
            text for text in fixed if text.lstrip("+").split("=")[0].split(".")[0] not in ("search", "launcher")
        ]
        if "experiment=search" in overrides:
            overrides.remove("experiment=search")
            return overrides
        # A user's own experiment that builds upon this one may set more, so it stays and its splits are overridden.
        return [*overrides, "evaluation.splits=[valid,test]"]


def _study(seed: int) -> "Study":
    try:
        import optuna
    except ImportError as error:
        raise InputError("experiment=search needs Optuna: pip install 'llmrec[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def _split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, "BaseDistribution"]]:
    """Splits overrides into those with a single value and the distributions of those with several.

    If a key occurs more than once, its last override counts.
    """
    last = {
        override.get_key_element(): override for override in OverridesParser.create().parse_overrides(list(arguments))
    }
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    for key in space:
        if key not in DECODING_HYPERPARAMETERS and key.replace("/", ".").split(".")[0] in NO_HYPERPARAMETERS:
            raise InputError(
                f"{key} is no hyperparameter, so a search takes one value of it: trials that differ in it are not "
                "comparable. Run a separate search for each value"
            )
    if not space:
        raise InputError("the search space is empty: give a range, such as objective.temperature=interval(1,10)")
    return [str(override.input_line) for key, override in last.items() if key not in space], space


def _distribution(override: Override) -> "BaseDistribution":
    """Converts a sweep override to a distribution.

    `interval(a,b)`, `tag(log,interval(a,b))` and `int(interval(a,b))` are ranges of numbers; a choice or `range(a,b)`
    is a set of values.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = override.value()
    if not isinstance(values, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    assert values.start is not None
    assert values.end is not None
    are_whole = isinstance(values.start, int) and isinstance(values.end, int)
    distribution: Callable[..., BaseDistribution] = IntDistribution if are_whole else FloatDistribution
    try:
        return distribution(values.start, values.end, log="log" in values.tags)
    except ValueError as error:
        raise InputError(
            f"{override.input_line}: this is no range. Give the lower limit first, and limits above 0 with tag(log,...)"
        ) from error


def _format_value(value: object) -> str:
    """Formats a sampled value; floats have four significant digits, so that they are easy to copy."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(job: JobReturn) -> float | None:
    return float(job.return_value) if job.status == JobStatus.COMPLETED else None
