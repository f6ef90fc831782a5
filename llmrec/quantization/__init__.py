"""Semantic IDs: embeddings of titles, quantized into sequences of tokens."""
