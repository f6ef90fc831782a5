"""Tests the difference between two runs on the same users: python -m llmrec.compare_runs run=A,B."""

from pathlib import Path

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Tests whether two runs differ in a metric, on the same users.

  llmrec compare run=runs/<...>/<key>,runs/<...>/<key>
  llmrec compare run=runs/<A>,runs/<B> metric=by_title.hr@5 split=valid

run=A,B        two runs of the same dataset and task: a list of two folders, or
               a pattern in quotes that names two
metric=PATH    a metric with a value for each row (default: NDCG of the task)
split=SPLIT    test (default) or valid

Printed are each run's mean, the difference A - B with its 95 % confidence
interval (bootstrap over users), and the p-value of a sign-flip test by user.
Runs that did not rank the same rows are refused.
"""
LEVEL = 0.05


def main() -> None:
    """Entry point of `llmrec compare` and `python -m llmrec.compare_runs`."""
    run_command(HELP, _compare)


def _compare(arguments: list[str]) -> None:
    from llmrec.run_selection import selected_runs
    from llmrec.training.overrides import split_arguments

    own, others = split_arguments(arguments, ["run", "metric", "split"])
    if others:
        raise InputError(f"{others[0]}: compare takes only run, metric and split (try --help)")
    if "run" not in own:
        raise InputError("run=<two folders of runs, separated by a comma> is missing (try --help)")
    folders = selected_runs(own["run"])
    if len(folders) != 2:
        raise InputError(f"run={own['run']}: names {len(folders)} runs. Give two, as in run=runs/<A>,runs/<B>")
    _print_comparison(folders, own.get("metric"), own.get("split", "test"))


def _print_comparison(folders: list[Path], metric: str | None, split: str) -> None:
    from llmrec.api import compare, open
    from llmrec.protocol import recorded_protocol

    runs = [open(folder) for folder in folders]
    metric = metric or runs[0].record["headline"]["path"]
    found = compare(runs[0], runs[1], metric, split)
    for name, run in zip("AB", runs, strict=True):
        value = run.metrics[split]
        for key in metric.split("."):
            value = value[key]
        print(f"{name}      {value:.4f}  {run.folder}")
    print(f"A - B  {found.difference:+.4f}  [{found.low:+.4f}, {found.high:+.4f}]  p = {found.p_value:.4f}")
    ids = [recorded_protocol(run.metrics[split]) for run in runs]
    if ids[0] == ids[1]:
        print(f"protocol: {split} {ids[0]}")
    else:
        print(f"warning: the protocols differ (A {ids[0]}, B {ids[1]}), as in decoding or versions")
    print(f"{metric}, {split}: {found.rows:,} rows of {found.users:,} users; 95 % interval over users")
    if found.p_value >= LEVEL:
        print("no significant difference (p >= 0.05)")


if __name__ == "__main__":
    main()
