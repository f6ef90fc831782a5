"""Constrained and unconstrained decoding of titles and rankings."""
