"""Diagnosis of context bias: how much a tuned model relies on the prompt text instead of the user's history."""
