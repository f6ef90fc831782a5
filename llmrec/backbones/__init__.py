"""Causal language models with tokenizer and adapter behind one forward primitive; the small one built from scratch."""
