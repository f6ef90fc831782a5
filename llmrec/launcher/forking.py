"""Imported by the process that forks jobs, before it forks the first: a run's imports, and an end with the launcher."""

import signal

import llmrec.training.run_cell  # noqa: F401
from llmrec.launcher.processes import die_with_parent

die_with_parent(signal.SIGTERM)
