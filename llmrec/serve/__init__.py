"""Serves trained runs: a page to try them and a JSON interface: python -m llmrec.serve run=runs/...

Only `main` is imported by the command line; the rest needs the extra `serve`.
"""

import importlib.util

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError

HELP = """\
Serves trained runs: a page to try them side by side, and recommendations in
JSON.

  python -m llmrec.serve run=runs/<...>/<key>
  python -m llmrec.serve run='runs/games/next_item/*/*/*' port=8080
  curl http://127.0.0.1:8000/recommend -H 'Content-Type: application/json' \\
    -d '{"history": ["Title A", "Title B"], "k": 5}'

run=FOLDERS       the folder of a run, a comma list of folders, or a pattern
host=ADDRESS      address to listen on (default 127.0.0.1: this machine only)
port=N            port (default 8000; 0 for any that is free)
k=N               most titles that a request may ask for (default 10)
waiting=N         most requests that wait for a run (default 256); beyond it a
                  request is refused with status 503
timeout=S         seconds within which a request is answered, or refused with
                  status 504 (default 30)

The page is at /, the interface is POST /recommend, GET /titles?q=... and
GET /healthz, described by /openapi.json. Requests that arrive together are
decoded together. There is neither a login nor encryption: give another host
only where everybody who can reach it may use the server.
SIGTERM refuses new connections, finishes the requests that were accepted and
ends with status 143.
Settings of the groups decoding and paths can be overridden, as in
decoding.exclude_history=true, and items.file and backbone.path.
--config-dir FOLDER adds decoders of your own.
Code that a run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
Needs the extra serve: pip install 'llmrec[serve]'
"""
OWN = ("run", "host", "port", "k", "waiting", "timeout", "trust")
PACKAGES = ("fastapi", "uvicorn")


def main() -> None:
    """Entry point of `python -m llmrec.serve`."""
    run_command(HELP, _serve)


def _serve(arguments: list[str]) -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} is not installed. Install the extra: pip install 'llmrec[serve]'")
    from llmrec.training.overrides import split_arguments

    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, OWN)
    if "run" not in own:
        raise InputError("run=<the folder of a trained run> is missing (try --help)")

    from llmrec.serve.server import Settings, serve

    serve(Settings.read(own), overrides, config_dir)
