"""Starts processes and divides the machine among them."""
