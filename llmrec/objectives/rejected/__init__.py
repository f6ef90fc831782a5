"""Rejected samplers: which title a preference objective sets against the target. base.py states the interface."""
