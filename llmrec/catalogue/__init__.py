"""The catalogue: items, their titles, the titles' tokens and the trie of all titles."""
