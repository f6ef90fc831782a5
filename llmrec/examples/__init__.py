"""Training examples and micro-batches of the tasks, as Lightning data modules."""
