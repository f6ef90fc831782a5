"""Computes the metrics of existing rankings anew, without a model: python -m llmrec.measure run=runs/..."""

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError
from llmrec.run_selection import selected_runs

HELP = """\
Computes the metrics of existing rankings anew, without the model, in seconds.

  python -m llmrec.measure run=runs/<...>/<key>
  python -m llmrec.measure run='runs/games/next_item/*'
  python -m llmrec.measure run=[runs/<...>/<key>,runs/<...>/<key>]
  python -m llmrec.measure run=runs/<...>/<key> metrics=mine --config-dir FOLDER

run=FOLDERS       the folder of a run or of several runs, a list of folders, or
                  a pattern in quotes
--config-dir FOLDER  a folder with YAML files of your own (group metrics)

All rankings of the runs are measured, with the metrics that ship with llmrec
and those that metrics=NAME adds. Settings of the groups metrics,
dataset.reference and paths can be overridden.
Code that a run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""


def main() -> None:
    """Entry point of `llmrec measure` and `python -m llmrec.measure`."""
    run_command(HELP, _measure)


def _measure(arguments: list[str]) -> None:
    from llmrec.training.overrides import split_arguments, trusts

    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, ["run", "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained run> is missing (try --help)")
    folders = selected_runs(own["run"])

    from llmrec.training.measure_again import measure_again

    measure_again(folders, overrides, config_dir, trusts(own))


if __name__ == "__main__":
    main()
