"""Recommenders without a language model: same split, same evaluator, same record."""
