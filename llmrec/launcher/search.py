"""Hydra's sweeper of a search for hyper-parameters by Optuna: validation alone says which trial is best."""

import shlex
from collections.abc import Mapping, Sequence
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
from llmrec.training.stages import config_directories

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution


NO_HYPERPARAMETERS = (
    "dataset", "task", "seed", "scale", "decoding", "evaluation", "validation", "baseline", "experiment", "launcher",
    "logger", "paths", "search",
)  # fmt: skip
"""Groups and keys that say what is measured and how, not what is trained."""


class SearchSweeper(Sweeper):
    """Draws trials, has the launcher run them, and names the best one and the command that measures it on test.

    No study is stored: the same seed draws the same trials after the same values, and a cell that is done is read. So
    the same command goes on after an interruption, and one with more trials after one with fewer.
    """

    # Hydra takes plugins from this package only.
    __module__ = "hydra_plugins.llmrec"
    config: DictConfig
    launcher: Launcher

    def __init__(self, trials: int, at_once: int, seed: int, space: Mapping[str, str]) -> None:
        """See conf/experiment/search.yaml."""
        self.trials, self.at_once, self.seed, self.space = trials, at_once, seed, space

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra asks for."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the search; arguments: what was typed: what has a range joins the space, what has a value leaves it."""
        with plain_errors():
            self._check()
            study = _study(self.seed)
            fixed, space = _divided([*(f"{key}={values}" for key, values in self.space.items()), *arguments])
            trials = self._run(study, fixed, space)
            self._report(trials, fixed)

    def _check(self) -> None:
        if "test" in self.config.evaluation.splits:
            raise InputError(
                f"evaluation.splits={self.config.evaluation.splits}: a search decodes validation alone, or its best "
                "would be chosen with a look at test; leave that out, the command that it ends with measures test"
            )
        for name in ("trials", "at_once"):
            if getattr(self, name) < 1:
                raise InputError(f"search.{name}={getattr(self, name)}: give a whole number of at least 1")

    def _run(
        self, study: "Study", fixed: Sequence[str], space: dict[str, "BaseDistribution"]
    ) -> list[tuple[list[str], float | None]]:
        """What was drawn for each trial, as overrides, and its value, None where it failed."""
        from optuna.trial import TrialState

        ended: list[tuple[list[str], float | None]] = []
        while len(ended) < self.trials:
            asked = [study.ask(space) for _ in range(min(self.at_once, self.trials - len(ended)))]
            drawn = [[f"{key}={_written(value)}" for key, value in trial.params.items()] for trial in asked]
            for number, values in enumerate(drawn, len(ended) + 1):
                print(f"trial {number} of {self.trials}: {' '.join(values)}", flush=True)
            jobs = self.launcher.launch([[*fixed, *values] for values in drawn], initial_job_idx=len(ended))
            for trial, values, job in zip(asked, drawn, jobs, strict=True):
                value = _value(job)
                study.tell(trial, value, TrialState.FAIL if value is None else TrialState.COMPLETE)
                ended.append((values, value))
        return ended

    def _report(self, trials: Sequence[tuple[list[str], float | None]], fixed: Sequence[str]) -> None:
        values = [-1.0 if value is None else value for _, value in trials]
        best = max(range(len(trials)), key=values.__getitem__)
        if trials[best][1] is None:
            raise InputError("no trial of the search came to its end: each says above why")
        print(f"\n{len(trials)} trials, NDCG@10 of validation:")
        for number, (drawn, value) in enumerate(trials):
            print(
                f"{'*' if number == best else ' '} {'failed' if value is None else f'{value:.4f}'}  {' '.join(drawn)}"
            )
        words = [*config_directories(self.config), *self._kept(fixed), *trials[best][0]]
        print(
            f"\nthe best one (*), not trained again but measured on test too:\npython -m llmrec.run {shlex.join(words)}"
        )

    def _kept(self, fixed: Sequence[str]) -> list[str]:
        """The overrides that make the cell, less those of the search."""
        kept = [text for text in fixed if text.lstrip("+").split("=")[0].split(".")[0] not in ("search", "launcher")]
        if "experiment=search" in kept:
            kept.remove("experiment=search")
            return kept
        # An experiment of the user's own, built upon this one, may set more.
        return [*kept, "evaluation.splits=[valid,test]"]


def _study(seed: int) -> "Study":
    try:
        import optuna
    except ImportError as error:
        raise InputError("experiment=search needs Optuna: pip install 'llmrec[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def _divided(arguments: Sequence[str]) -> tuple[list[str], dict[str, "BaseDistribution"]]:
    """Overrides that give a value, and the distributions of those that leave a choice; the last one of a key counts."""
    last = {
        override.get_key_element(): override for override in OverridesParser.create().parse_overrides(list(arguments))
    }
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    for key in space:
        if key.replace("/", ".").split(".")[0] in NO_HYPERPARAMETERS:
            raise InputError(
                f"{key} is no hyper-parameter, so a search takes one value of it: its best trial would be the one "
                "that was measured in the easiest way; search for each by itself"
            )
    if not space:
        raise InputError("nothing is left to search for: give a range, as in objective.temperature=interval(1,10)")
    return [str(override.input_line) for key, override in last.items() if key not in space], space


def _distribution(override: Override) -> "BaseDistribution":
    """interval(a,b), tag(log,interval(a,b)), int(interval(a,b)); a choice or range(a,b) is one of its values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = override.value()
    if not isinstance(values, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    assert values.start is not None
    assert values.end is not None
    log = "log" in values.tags
    if isinstance(values.start, int) and isinstance(values.end, int):
        return IntDistribution(values.start, values.end, log=log)
    return FloatDistribution(values.start, values.end, log=log)


def _written(value: object) -> str:
    """A drawn value as text; of a float four digits, so that people can copy it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(job: JobReturn) -> float | None:
    return float(job.return_value) if job.status == JobStatus.COMPLETED else None
