"""Dataset readers, temporal split and leakage report, simulator and candidate lists."""
