"""Runs the command: python -m llmrec.serve."""

from llmrec.serve import main

main()
