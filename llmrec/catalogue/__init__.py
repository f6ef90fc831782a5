"""Items, their titles, titles as tokens, and the trie of all titles."""
