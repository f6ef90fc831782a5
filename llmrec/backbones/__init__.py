"""Causal language models with tokenizer and adapter: loading, checks, the forward primitive and the `tiny` model."""
