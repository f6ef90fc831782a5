"""Shared parts of all commands: arguments, help text, --config-dir, error messages and exit status."""

import argparse
import gc
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from llmrec.atomic import disk_error
from llmrec.errors import InputError
from llmrec.threads import limit_spinning

HOME_PATH = re.compile(r"[\w.@/+]+=['\"]?~(?=/|['\"]?$)")
"""A setting whose value is a path below the home folder, which a shell expands only at the beginning of a word."""
FLAGS_WITH_VALUE = (
    "--config-dir",
    "-cd",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--package",
    "-p",
    "--cfg",
    "-c",
)
"""Flags of Hydra's commands that take the next argument."""
ENDING = (signal.SIGTERM, signal.SIGUSR1)
"""Signals that end a command; SLURM can send SIGUSR1 some time before SIGTERM."""
TERMINATED = 128 + signal.SIGTERM
"""Exit status of a command that one of them has ended."""


def run_command(help_text: str, run: Callable[[list[str]], None], *, needs_arguments: bool = True) -> None:
    """Runs a command with the arguments of the command line, or prints its help.

    An InputError is printed without a traceback and ends the process with exit status 2; Ctrl-C with status 130,
    SIGTERM with 143.

    Args:
        help_text: Printed for -h and --help, and for a call without the arguments that the command needs.
        run: Called with the command-line arguments.
        needs_arguments: Whether a call without arguments prints the help instead of running the command.
    """
    print_any_text()
    limit_spinning()
    arguments = expand_home(sys.argv[1:])
    wants_help = {"-h", "--help"} & set(arguments) or (needs_arguments and not arguments)
    try:
        with cleaning_up_at_sigterm():
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
    except (OSError, RuntimeError) as error:
        full = disk_error(error, Path.cwd())
        if full is None:
            raise
        print(f"llmrec: {full}", file=sys.stderr)
        sys.exit(2)


@contextmanager
def cleaning_up_at_sigterm() -> Iterator[None]:
    """Lets SIGTERM or SIGUSR1 end the process, while the block runs, as an exception does: `finally` blocks are run.

    By them temporary files are removed, locks released and child processes ended. A process that ignores SIGTERM, as
    SLURM's jobs do, goes on ignoring it.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    for number in ENDING:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    # A second signal must not interrupt the cleaning up.
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    main = sys.modules["__main__"].__spec__
    # Without the arguments, of which one may be the URL of a database with its password.
    name = main.name if main else Path(sys.argv[0]).name
    # Not by print: the signal may have interrupted it.
    os.write(2, f"{name}: ended by {signal.Signals(number).name}; the same command goes on from here\n".encode())
    raise SystemExit(TERMINATED)


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Turns garbage collection off while the block imports packages, and excludes what it has imported for good.

    The collector would traverse half a million imported objects, which are never freed, again and again: a quarter of
    the time that importing torch, transformers and Lightning takes, and 0.2 seconds whenever it runs later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def print_any_text() -> None:
    """Prints characters that the locale cannot encode as escapes, instead of ending the command with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def expand_home(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `~/` at the beginning of a value expanded, as in backbone.path=~/models/x."""
    home = os.path.expanduser("~")
    return [
        f"{match[0][:-1]}{home}{text[match.end() :]}" if (match := HOME_PATH.match(text)) else text
        for text in arguments
    ]


def flags_last(arguments: Sequence[str]) -> list[str]:
    """Moves flags behind the overrides, since Hydra's parser takes no overrides behind a flag between two of them."""
    overrides, flags = list[str](), list[str]()
    for index, argument in enumerate(arguments):
        is_value = index > 0 and arguments[index - 1] in FLAGS_WITH_VALUE
        (flags if argument.startswith("-") or is_value else overrides).append(argument)
    return overrides + flags


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
