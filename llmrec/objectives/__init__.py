"""Training objectives: base.py states the interface, every other file is one method."""
