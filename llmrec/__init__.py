"""llmrec: tunes language models as recommenders with swappable objectives, and tells which recommends better."""

__version__ = "0.1.0"
