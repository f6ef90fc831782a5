"""Prints the commands of a sweep for other schedulers: python -m llmrec.plan objective=sft,msl dataset=games."""

import sys

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Prints the commands of a sweep that are not done, one a line, and runs nothing.

  python -m llmrec.plan objective=sft,dpo dataset=games,office
  python -m llmrec.plan objective=sft,dpo dataset=games,office ready=true

The arguments are those of llmrec.run -m. A line has three columns, separated
by tabs: a number, the numbers of the runs that must have ended before (- for
none), and the command. With ready=true it has the command alone, and only those
are printed that can start now: all at once, on any machine that shares the
folders of runs, data and cache.
"""


def main() -> None:
    """Entry point of `llmrec plan` and `python -m llmrec.plan`."""
    run_command(HELP, _plan)


def _plan(arguments: list[str]) -> None:
    from llmrec.run import main as run

    given = [text for text in arguments if text.startswith("ready=")]
    ready = given[-1].partition("=")[2].lower() if given else "false"
    if ready not in ("true", "false"):
        raise InputError(f"{given[-1]}: give true, to print what can start now, or false")
    sweep = [text for text in arguments if text not in given and text not in ("-m", "--multirun")]
    sys.argv[1:] = [*sweep, "hydra/launcher=plan", f"hydra.launcher.ready={ready}", "--multirun"]
    run()


if __name__ == "__main__":
    main()
