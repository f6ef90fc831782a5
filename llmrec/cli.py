"""The command `llmrec`, also `python -m llmrec`: one table of subcommands, each the `main` of a module.

`llmrec NAME ...` is `python -m MODULE ...`. A first word with `=` or a flag means `llmrec run`.
"""

import difflib
import importlib
import os
import sys
from typing import NamedTuple

import llmrec


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: The module whose `main` is called with the other arguments in `sys.argv`.
        help: What it does, in at most 60 characters.
    """

    module: str
    help: str


COMMANDS = {
    "run": Command("llmrec.run", "train and evaluate a run; with -m, a sweep of runs"),
    "plan": Command("llmrec.plan", "print the commands of a sweep for other schedulers"),
    "status": Command("llmrec.status", "show how far the runs in a folder are"),
    "evaluate": Command("llmrec.evaluate", "evaluate a trained run with other settings"),
    "measure": Command("llmrec.measure", "compute metrics of existing rankings anew, without a model"),
    "compare": Command("llmrec.compare_runs", "test the difference between two runs on the same users"),
    "recommend": Command("llmrec.recommend", "recommend titles for histories with a trained run"),
    "serve": Command("llmrec.serve", "serve a page and JSON recommendations of trained runs"),
    "export": Command("llmrec.export", "export a run for transformers, llmrec.open and the Hub"),
    "diagnose": Command("llmrec.diagnose", "measure how much a run relies on prompt and history"),
    "report": Command("llmrec.report", "write tables of finished runs, or compare runs (run=)"),
    "reproduce": Command("llmrec.reproduce", "run what is missing of the tables in experiments/"),
    "prepare": Command("llmrec.prepare", "prepare a dataset from raw files and check it"),
    "semantic-ids": Command("llmrec.semantic_ids", "make semantic IDs of items from embeddings of titles"),
    "new": Command("llmrec.new", "make a project folder with an objective of your own"),
    "info": Command("llmrec.info", "show versions, devices, data and caches; --clean empties"),
}
"""The subcommands by name, in the order of the help."""
HELP = """\
llmrec tunes language models as recommenders and compares their recommendations.

  llmrec run objective=msl dataset=games     # "run" may be left out
  llmrec recommend run=runs/<...>/<key> history='["Title A"]'

Commands (llmrec COMMAND --help describes one):
{commands}

llmrec --version prints the version. python -m llmrec is the same as llmrec.
Tab completes commands, settings and options in bash after:
  eval "$(llmrec --completion bash)"
"""


def main() -> None:
    """Entry point of `llmrec` and `python -m llmrec`."""
    # As python -m does, so that modules of the user's own beside conf/ are found.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if first in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:<13} {command.help}" for name, command in COMMANDS.items())))
    elif first == "--version":
        print(f"llmrec {llmrec.__version__}")
    elif first in ("--completion", "--completion-of"):
        importlib.import_module("llmrec.completion").main()
    elif first in COMMANDS:
        del sys.argv[1]
        importlib.import_module(COMMANDS[first].module).main()
    elif "=" in first or first.startswith(("-", "+", "~")):
        importlib.import_module(COMMANDS["run"].module).main()
    else:
        print(f"llmrec: {first}: {_unknown(first)}", file=sys.stderr)
        sys.exit(2)


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word, COMMANDS, 1)
    if near:
        return f"did you mean llmrec {near[0]}?"
    return f"there is no such command. Choose one of {', '.join(COMMANDS)}"


if __name__ == "__main__":
    main()
