"""Metrics of recommendations, significance tests, reference features, and the records and tables of an evaluation."""
