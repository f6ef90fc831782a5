"""Training and evaluation of runs: the Lightning module, loggers, stages, distributed ranks, and keys of results."""
