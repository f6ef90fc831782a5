"""Residual k-means: quantizes vectors into one code per level, from coarse to fine."""

from dataclasses import dataclass

import numpy as np

MIN_VECTORS_PER_CODE = 4
"""A level has at most one code for so many vectors, so that codes are shared and not names of single vectors."""


@dataclass(frozen=True)
class ResidualCodes:
    """Codes of vectors.

    Attributes:
        codes: The code of each vector at each level, int64 `[vectors, levels]`. A level numbers its codes in the order
            of their first vector.
        errors: Reconstruction error after each level, float64 `[levels]`: the mean squared distance between the vectors
            and the sums of their centroids up to that level.
    """

    codes: np.ndarray
    errors: np.ndarray


def residual_kmeans(vectors: np.ndarray, levels: int, codes: int, seed: int) -> ResidualCodes:
    """Clusters vectors by k-means, then at each further level the residuals that the previous centroids leave.

    Source: TIGER (arXiv 2305.05065) derives semantic IDs by the residual quantization of an RQ-VAE. Residual k-means is
    a common simplification that trains no network. Its settings are our reading.

    The result is the same for any number of threads.

    Args:
        vectors: float32 `[vectors, size]`.
        levels: Number of levels.
        codes: Number of codes per level, limited to a fourth of the vectors (`MIN_VECTORS_PER_CODE`).
        seed: Seed of the initial centroids (k-means++, one initialization per level).
    """
    codes = max(1, min(codes, len(vectors) // MIN_VECTORS_PER_CODE))
    residuals, columns, errors = vectors, [], []
    for _ in range(levels):
        labels, centroids = _cluster(residuals, codes, seed)
        residuals = residuals - centroids[labels]
        columns.append(_numbered_by_first(labels))
        errors.append(np.square(residuals, dtype=np.float64).sum(axis=1).mean())
    return ResidualCodes(np.stack(columns, axis=1), np.array(errors))


def _cluster(vectors: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cluster of each vector, int `[vectors]`, and the centroids, float32 `[clusters, size]`."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # Clusters of one vector leave residuals of 0, so that late levels may have fewer distinct vectors than clusters, of
    # which KMeans warns.
    clusters = min(clusters, len(np.unique(vectors, axis=0)))
    # With several threads, the order in which a centroid's vectors are summed varies, and so does its rounding.
    with threadpool_limits(1):
        fitted = KMeans(clusters, n_init=1, random_state=seed).fit(vectors)
    return fitted.labels_, fitted.cluster_centers_


def _numbered_by_first(labels: np.ndarray) -> np.ndarray:
    """Numbers clusters in the order of their first vector, int64 `[vectors]`; k-means numbers them arbitrarily."""
    _, first, cluster = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int64)
    numbers[first.argsort()] = np.arange(len(first))
    return numbers[cluster]
