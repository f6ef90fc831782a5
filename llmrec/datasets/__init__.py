"""Readers of public layouts, the temporal split with its leakage report, the simulator, prompts, the data module."""
