"""Hydra plugins that run sweeps and searches, on this machine or on a SLURM cluster."""
