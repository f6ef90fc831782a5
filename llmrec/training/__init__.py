"""Training of one cell: the Lightning module, its callbacks and logs, stages, and what is done or left."""
