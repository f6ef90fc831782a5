"""Readers of real data, one layout a module."""
