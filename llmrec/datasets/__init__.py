"""Dataset readers, temporal split and leakage report, simulator, prompts and Lightning data modules."""
