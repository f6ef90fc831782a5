"""Measures how much a trained run relies on the prompt and not the history: python -m llmrec.diagnose run=runs/..."""

from pathlib import Path
from typing import Any

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError
from llmrec.installed import require_package

HELP = """\
Measures how much the predictions of a trained run depend on the task text and
the beginning of the title itself, and how much on the user's history.

  python -m llmrec.diagnose run=runs/<...>/<key>
  python -m llmrec.diagnose run=runs/<...>/<key> beam=true
  python -m llmrec.diagnose run=runs/<...>/<key> users=1000 seed=1 split=test
  python -m llmrec.diagnose run=runs/<...>/<key> decoding.scores=vocab \\
    decoding.length_penalty=1

run=FOLDER        the folder of a run
users=N           number of rows that are drawn from the split (default 200)
seed=N            seed of the draw (default 0)
split=SPLIT       valid (default) or test
beam=true         diagnose beam search instead: at which depth it drops the
                  target, the target's exact rank among all titles, and the
                  share of the exact list that 5, 10, 20 and 50 beams find

The model before tuning is diagnosed too, for comparison. Settings of the groups
decoding and paths can be overridden. Results and a plot are written to
FOLDER/diagnosis/<key>, or read if they exist already.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""
DEFAULTS = {"users": "200", "seed": "0", "split": "valid"}
SPLITS = ("valid", "test")


def main() -> None:
    """Entry point of `llmrec diagnose` and `python -m llmrec.diagnose`."""
    run_command(HELP, _diagnose)


def _diagnose(arguments: list[str]) -> None:
    from llmrec.training.overrides import override, split_arguments, trusts
    from llmrec.training.run_folder import RunFolder

    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, ["run", *DEFAULTS, "beam", "trust"])
    if "run" not in own:
        raise InputError("run=<the folder of a trained run> is missing (try --help)")
    sample = _sample(DEFAULTS | own)
    require_package("matplotlib", "report", "llmrec.diagnose")
    run = RunFolder(Path(own["run"]))
    config = override(run.config(trusts(own)), overrides, config_dir)

    from llmrec.tasks.base import build_task

    build_task(config).check_command("diagnose", run.folder)

    from llmrec.diagnosis.beam_run import BEAM
    from llmrec.diagnosis.diagnose_run import CONTEXT_BIAS
    from llmrec.diagnosis.stored import diagnose

    diagnose(BEAM if "beam" in sample else CONTEXT_BIAS, run, config, sample)


def _sample(values: dict[str, str]) -> dict[str, Any]:
    if values["split"] not in SPLITS:
        raise InputError(f"split={values['split']}: give {' or '.join(SPLITS)}")
    if values.get("beam", "true") not in ("true", "false"):
        raise InputError(f"beam={values['beam']}: give true or false")
    sample = {"users": _integer(values, "users", 1), "seed": _integer(values, "seed", 0), "split": values["split"]}
    # Without `beam`, the keys of diagnoses are those of earlier versions.
    return sample | ({"beam": True} if values.get("beam") == "true" else {})


def _integer(values: dict[str, str], key: str, minimum: int) -> int:
    text = values[key]
    if not text.isdecimal() or int(text) < minimum:
        raise InputError(f"{key}={text}: give a whole number of at least {minimum}")
    return int(text)


if __name__ == "__main__":
    main()
