"""Exports a trained run as a folder that transformers and llmrec open without the run's data."""
