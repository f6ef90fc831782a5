"""Processes that llmrec starts, and what of the machine each of them gets."""
