"""Metrics of rankings: one file a family. base.py defines the interface."""
