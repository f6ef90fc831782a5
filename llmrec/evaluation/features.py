"""Reference features of a dataset's titles, as metrics read them. Imports no model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Identity = dict[str, str]
"""How records identify a model: `model`, its name, and `weights`, the hash of its weight files."""


@dataclass(frozen=True)
class ReferenceFeatures:
    """Features of the distinct titles by the dataset's reference model.

    Attributes:
        relevance: log P(title | prompt without history), summed over tokens, float64 [titles]; None = not measured.
        embeddings: float32 [titles, size], of unit length, so that a dot product is a cosine; None = not measured.
        models: The model of each feature, for records.
    """

    relevance: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    models: Mapping[str, Identity | None] = field(default_factory=lambda: {"relevance": None, "embeddings": None})
