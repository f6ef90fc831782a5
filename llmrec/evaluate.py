"""Evaluates a trained run with other settings: python -m llmrec.evaluate run=runs/... decoding.scores=vocab."""

from pathlib import Path

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError

HELP = """\
Evaluates a trained run with other decoding or evaluation settings.

  python -m llmrec.evaluate run=runs/<...>/<key> decoding.scores=vocab decoding.length_penalty=1
  python -m llmrec.evaluate run=runs/<...>/<key> decoding=vocab
  python -m llmrec.evaluate run=runs/<...>/<key> decoding.exclude_history=true evaluation.users=null
  python -m llmrec.evaluate run=runs/<...>/rerank/<...>/<key> decoding.bootstrap=5 evaluation.orders=5

run=FOLDER is the folder of a run. Settings that are not given are those of the
run. Rankings and metrics are written to FOLDER/rankings/<key>; what exists
already is read. --config-dir FOLDER adds decoders and metrics of your own.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""


def main() -> None:
    """Entry point of `llmrec evaluate` and `python -m llmrec.evaluate`."""
    run_command(HELP, _evaluate)


def _evaluate(arguments: list[str]) -> None:
    from llmrec.training.overrides import override, split_arguments, trusts
    from llmrec.training.run_configuration import evaluate_again
    from llmrec.training.run_folder import RunFolder

    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, ["run", "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained run> is missing (try --help)")
    run = RunFolder(Path(own["run"]))
    evaluate_again(run, override(run.config(trusts(own)), overrides, config_dir))


if __name__ == "__main__":
    main()
