"""Beam search over the trie of titles."""
