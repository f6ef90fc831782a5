"""Samplers of rejected titles for preference objectives. base.py defines the interface."""
