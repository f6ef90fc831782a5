"""The Python API: trains, opens and compares runs.

    import llmrec

    run = llmrec.train(["objective=msl", "dataset=games"])  # as python -m llmrec.run objective=msl dataset=games
    run = llmrec.open("runs/games/next_item/tiny/msl/<key>")

    run.metrics["test"]["by_title"]["ndcg@10"]
    run.rankings                                # a polars.DataFrame
    run.recommend([["Title A", "Title B"]], k=5)
    run.log_probabilities(["Title A"], ["Title C", "Title D"])

    llmrec.compare(run, "runs/games/next_item/tiny/sft/<key>")  # difference, interval, p-value

Everything that cannot be used raises an `InputError`, whose message says what to do. Progress is logged at level INFO.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.errors import InputError
from llmrec.evaluation.significance import Comparison
from llmrec.trained_run import Run, open_run

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Comparison", "InputError", "Run", "compare", "open", "train"]


def train(overrides: Sequence[str] = (), *, config_dir: "str | PathLike[str] | None" = None) -> Run:
    """Trains and evaluates a run, as `python -m llmrec.run` does, in this process.

    A run that is finished is read, and one that was interrupted is resumed. A stage that the run depends on is trained
    first, in a process of its own.

    Args:
        overrides: Settings as on the command line, such as `["objective=msl", "dataset=games", "seed=1"]`.
        config_dir: A folder with YAML files of your own, as for `--config-dir`.

    Raises:
        InputError: Settings, data, a model or a stage cannot be used.
        BusyError: Another process works on the run.
    """
    from llmrec.training.in_process import run_in_process

    run, config = run_in_process(list(overrides), None if config_dir is None else Path(config_dir))
    return Run(run.folder, config)


def open(
    folder: "str | PathLike[str]",
    overrides: Sequence[str] = (),
    *,
    config_dir: "str | PathLike[str] | None" = None,
    trust: bool = False,
) -> Run:
    """Opens a trained run.

    Args:
        folder: The folder of a run, or of one of its rankings (`<run>/rankings/<key>`).
        overrides: Other decoding or evaluation settings, as for `python -m llmrec.evaluate`.
        config_dir: A folder with YAML files of your own.
        trust: Accepts code that the run's config names and that does not ship with llmrec. Set it only for folders that
            you trust.

    Raises:
        InputError: The folder is not that of a trained run, or a setting cannot be used.
    """
    return open_run(Path(folder), overrides, None if config_dir is None else Path(config_dir), trust)


def compare(
    run_a: "Run | str | PathLike[str]",
    run_b: "Run | str | PathLike[str]",
    metric: str | None = None,
    split: str = "test",
) -> Comparison:
    """Compares two runs in a metric on the same rows, in a paired test with users as the sampling unit.

    Args:
        run_a: A run, or its folder.
        run_b: The run to compare it with, or its folder.
        metric: Path of the metric in a record, such as `by_title.hr@5`; by default that by which the task's summaries
            compare runs, such as `by_title.ndcg@10`.
        split: "test" or "valid".

    Returns:
        The mean of run_a - run_b with its standard error, 95 % confidence interval and p-value.

    Raises:
        InputError: The runs were not evaluated on the same rows of the same dataset, or the metric has no values by
            row.
    """
    from llmrec.tables.paired_runs import compare_evaluations

    first, second = (run if isinstance(run, Run) else open(run) for run in (run_a, run_b))
    return compare_evaluations(first.evaluation(split), second.evaluation(split), metric)
