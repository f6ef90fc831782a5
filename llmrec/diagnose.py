"""How far a trained cell leans on the prompt instead of the user: python -m llmrec.diagnose run=runs/..."""

from pathlib import Path
from typing import Any

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Tells how far a trained cell leans on the task text and the title's own beginning, and how far on the user's history.

  python -m llmrec.diagnose run=runs/<...>/<fingerprint>
  python -m llmrec.diagnose run=runs/<...>/<fingerprint> users=1000 seed=1 split=test
  python -m llmrec.diagnose run=runs/<...>/<fingerprint> decoding.scores=vocab decoding.length_penalty=1

run=FOLDER is a cell's folder; users rows (default 200) of the split (valid, the default, or test) are drawn by seed
(default 0). Settings of the groups decoding and paths can be overridden. The model before tuning is opened too, for
comparison. Figures and a plot go to FOLDER/diagnosis/<fingerprint> and are only read where they are there already.
A run folder may be somebody else's: code of their own that its config names is refused unless trust=true is given.
"""
DEFAULTS = {"users": "200", "seed": "0", "split": "valid"}
SPLITS = ("valid", "test")


def main() -> None:
    """Entry point of `llmrec-diagnose` and `python -m llmrec.diagnose`."""
    run_command(HELP, _diagnose)


def _diagnose(arguments: list[str]) -> None:
    from llmrec.training.cells import Cell
    from llmrec.training.overrides import override, refuse_other_task, split_arguments, trusts

    own, overrides = split_arguments(arguments, ["run", *DEFAULTS, "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained cell> is missing (try --help)")
    sample = _sample(DEFAULTS | own)
    cell = Cell(Path(own["run"]))
    config = override(cell.config(trusts(own)), overrides)
    refuse_other_task(config, cell.folder)

    from llmrec.diagnosis.diagnose_cell import diagnose

    diagnose(cell, config, sample)


def _sample(given: dict[str, str]) -> dict[str, Any]:
    if given["split"] not in SPLITS:
        raise InputError(f"split={given['split']}: there are {' and '.join(SPLITS)}")
    return {"users": _whole(given, "users", 1), "seed": _whole(given, "seed", 0), "split": given["split"]}


def _whole(given: dict[str, str], key: str, least: int) -> int:
    text = given[key]
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{key}={text}: give a whole number of at least {least}")
    return int(text)


if __name__ == "__main__":
    main()
