"""How long OpenMP's threads wait actively for work."""

import os

SPIN_COUNT = "10000"
"""Rounds of active waiting before a thread sleeps. With GCC's default, a model is no faster on free cores, and much
slower where other processes use them, too. Without active waiting, short passes of small models take two to three times
as long (experiments/bench/notes.md)."""


def limit_spinning() -> None:
    """Limits active waiting, unless the environment decides it. Must be called before torch is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
