"""Recommenders without a language model, with the same splits, evaluation and records as language models."""
