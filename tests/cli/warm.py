"""Imported by the server that forks the tests' commands: what each of them would import and compute anew."""

import fnmatch
import gc
import os
import signal
from pathlib import Path

from transformers import LlamaForCausalLM  # noqa: F401

import llmrec.training.recommending  # noqa: F401
from llmrec import atomic
from llmrec.components import COMPONENTS, code
from llmrec.compose import compose_run, shipped_config
from tests.cli.commands import PAUSE_BEFORE_RENAMING

flush = atomic._flush


def flush_or_pause(file: Path) -> None:
    """Flushes a temporary file, then waits for a signal if it is the one that the test waits for."""
    flush(file)
    if fnmatch.fnmatch(str(file), os.environ.get(PAUSE_BEFORE_RENAMING, "")):
        signal.pause()


atomic._flush = flush_or_pause
code(COMPONENTS)
with shipped_config():
    compose_run([])
gc.freeze()
