"""Evaluates a trained run with other settings: python -m llmrec.evaluate run=runs/... decoding.scores=vocab."""

from pathlib import Path

from llmrec.command import garbage_collection_paused, run_command, split_config_dir
from llmrec.errors import InputError

HELP = """\
Evaluates a trained run with other decoding or evaluation settings.

  python -m llmrec.evaluate run=runs/<...>/<key> decoding.scores=vocab \\
    decoding.length_penalty=1
  python -m llmrec.evaluate run=runs/<...>/<key> decoding=vocab
  python -m llmrec.evaluate run=runs/<...>/<key> \\
    decoding.exclude_history=true evaluation.users=null
  python -m llmrec.evaluate run=runs/<...>/rerank/<...>/<key> \\
    decoding.bootstrap=5 evaluation.orders=5

  python -m llmrec.evaluate backbone.path=<folder or hub name> dataset=games
  python -m llmrec.evaluate backbone.path=<model> adapter.path=<folder> \\
    dataset=games

run=FOLDER is the folder of a run. Settings that are not given are those of the
run. Rankings and metrics are written to FOLDER/rankings/<key>; what exists
already is read. --config-dir FOLDER adds decoders and metrics of your own.
Without run=, a model that was tuned elsewhere is measured, with a PEFT adapter
if adapter.path is given: a run of its own without training, which takes all
settings of llmrec run. Set prompt to the one that it was tuned with.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""
MODELS = ("backbone=", "backbone.path=", "adapter.path=")
"""Settings that name a model instead of a run."""
UNTRAINED = ("backbone=hf", "objective=sft", "trainer.epochs=0", "logger=csv")


def main() -> None:
    """Entry point of `llmrec evaluate` and `python -m llmrec.evaluate`."""
    run_command(HELP, _evaluate)


def _evaluate(arguments: list[str]) -> None:
    with garbage_collection_paused():
        from llmrec.training.overrides import override, split_arguments, trusts
        from llmrec.training.run_configuration import evaluate_again
        from llmrec.training.run_folder import RunFolder

    config_dir, arguments = split_config_dir(arguments)
    if not any(text.startswith("run=") for text in arguments) and any(text.startswith(MODELS) for text in arguments):
        _evaluate_model(arguments, config_dir)
        return
    own, overrides = split_arguments(arguments, ["run", "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained run>, or backbone.path=<a model>, is missing (try --help)")
    run = RunFolder(Path(own["run"]))
    evaluate_again(run, override(run.config(trusts(own)), overrides, config_dir))


def _evaluate_model(overrides: list[str], config_dir: Path | None) -> None:
    """Measures a model that was tuned elsewhere, as a run whose training has no epochs."""
    import logging

    from llmrec.training.in_process import run_in_process
    from llmrec.training.run_configuration import print_run

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run, config = run_in_process([*UNTRAINED, *overrides], config_dir)
    print_run(run, config, run.ranking(config))


if __name__ == "__main__":
    main()
