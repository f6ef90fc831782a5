"""Imported by the process that forks jobs, before it forks the first: a run's imports, and an end with the launcher."""

import gc
import signal

import llmrec.training.run_cell  # noqa: F401
from llmrec.processes.process import die_with_parent

# No fork looks through half a million objects of imports for garbage, 0.4 s each time.
gc.freeze()
die_with_parent(signal.SIGTERM)
