"""Builds reports from experiments/<table>.yaml and the records of runs: values, comparisons, texts and plots."""
