"""Diagnosis: how far a tuned model leans on the prompt instead of the user."""
