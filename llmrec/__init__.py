"""llmrec: tunes language models as recommenders with interchangeable objectives and compares their recommendations."""

__version__ = "0.1.0"
