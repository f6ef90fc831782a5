"""A trained cell, decoded or measured another way: python -m llmrec.evaluate run=runs/... decoding.scores=vocab."""

from pathlib import Path

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Decodes a trained cell another way and measures it; nothing is trained.

  python -m llmrec.evaluate run=runs/<...>/<fingerprint> decoding.scores=vocab decoding.length_penalty=1
  python -m llmrec.evaluate run=runs/<...>/<fingerprint> decoding=vocab
  python -m llmrec.evaluate run=runs/<...>/<fingerprint> decoding.exclude_history=true evaluation.users=null
  python -m llmrec.evaluate run=runs/<...>/rerank/<...>/<fingerprint> decoding.bootstrap=5 evaluation.orders=5

run=FOLDER is a cell's folder. What is not given stays as the cell was run. The record goes to FOLDER/eval/<fingerprint>
and is only read where it is there already.
A run folder may be somebody else's: code of their own that its config names is refused unless trust=true is given.
"""


def main() -> None:
    """Entry point of `llmrec-evaluate` and `python -m llmrec.evaluate`."""
    run_command(HELP, _evaluate)


def _evaluate(arguments: list[str]) -> None:
    from llmrec.training.cells import Cell
    from llmrec.training.overrides import override, split_arguments, trusts
    from llmrec.training.run_cell import evaluate_again

    own, overrides = split_arguments(arguments, ["run", "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained cell> is missing (try --help)")
    cell = Cell(Path(own["run"]))
    evaluate_again(cell, override(cell.config(trusts(own)), overrides))


if __name__ == "__main__":
    main()
