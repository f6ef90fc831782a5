"""What the commands beside llmrec.run share: their help, and how they end."""

import os
import sys
from collections.abc import Callable

from llmrec.errors import InputError


def run_command(help_text: str, run: Callable[[list[str]], None], *, alone: bool = False) -> None:
    """Calls `run` with what was typed; prints the help instead where that is asked for.

    alone: whether nothing typed is a call too, and not a question. An InputError is printed without a traceback; the
    exit status is then 2, after Ctrl-C 130.
    """
    arguments = sys.argv[1:]
    asks = {"-h", "--help"} & set(arguments) or not (arguments or alone)
    try:
        if asks:
            print(help_text)
        else:
            run(arguments)
        sys.stdout.flush()
    except InputError as error:
        print(f"llmrec: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has gone; Python would complain once more when it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
