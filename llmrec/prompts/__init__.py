"""Prompts of the tasks: Jinja text from the config group prompt, rendered and tokenized."""
