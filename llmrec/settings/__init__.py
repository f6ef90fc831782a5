"""The settings of llmrec: the typed schema of all keys, and the check of a config against it."""
