"""Tasks: what a run ranks. base.py defines the interface."""
