"""Training objectives. base.py defines the interface; every other module implements one objective or a part of it."""
