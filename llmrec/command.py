"""Shared parts of all commands except llmrec.run: help text, --config-dir, error messages and exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from llmrec.errors import InputError


def run_command(help_text: str, run: Callable[[list[str]], None], *, alone: bool = False) -> None:
    """Runs a command with the arguments of the command line, or prints its help.

    An InputError is printed without a traceback and ends the process with exit status 2; Ctrl-C with status 130.

    Args:
        help_text: Printed for -h and --help, and for a call without arguments unless `alone` is set.
        run: Called with the command-line arguments.
        alone: Whether a call without arguments runs the command instead of printing the help.
    """
    arguments = sys.argv[1:]
    wants_help = {"-h", "--help"} & set(arguments) or not (arguments or alone)
    try:
        if wants_help:
            print(help_text)
        else:
            run(arguments)
        sys.stdout.flush()
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has exited. Without this, Python would print a second error when
        # it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def split_config_dir(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Splits --config-dir off the arguments of a command that composes a config.

    Returns:
        The folder of the user's YAML files, if one is given, and the other arguments.

    Raises:
        InputError: There is no such folder.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    try:
        options, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError(f"--config-dir FOLDER: {error}") from error
    if options.config_dir and not options.config_dir.is_dir():
        raise InputError(
            f"--config-dir {options.config_dir}: there is no such folder. Give the folder of your YAML files"
        )
    return options.config_dir, others
