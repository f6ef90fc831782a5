"""Dataset readers, temporal split and leakage report, simulator, prompts and candidate lists."""
