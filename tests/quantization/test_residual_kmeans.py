"""Residual k-means on vectors whose clusters are known."""

import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from llmrec.quantization.residual_kmeans import residual_kmeans

CUBOID = np.array([[x, y, z] for x in (10, -10) for y in (-1, 1) for z in (0.1, -0.1)], dtype=np.float32)
"""The corners of a cuboid around 0: 20 wide, 2 high, 0.2 deep."""


def test_each_level_clusters_what_the_centroids_before_it_leave() -> None:
    # Level 1 divides by x, so that 1 and 0.1 remain of y and z. In the residuals, corners that differ in x are equal,
    # and share the codes of y and z. Codes are numbered by their first corner.
    found = residual_kmeans(CUBOID, levels=3, codes=2, seed=0)
    assert found.codes.tolist() == [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]


def test_the_error_is_the_mean_squared_length_of_what_is_left() -> None:
    found = residual_kmeans(CUBOID, levels=3, codes=2, seed=0)
    np.testing.assert_allclose(found.errors, [1 + 0.01, 0.01, 0], atol=1e-6)


def test_a_single_code_leaves_the_variance() -> None:
    vectors = np.array([[0, 0], [4, 0], [0, 2], [4, 2]], dtype=np.float32)
    found = residual_kmeans(vectors, levels=1, codes=1, seed=0)
    assert found.codes.tolist() == [[0]] * 4
    # The corners are 2 and 1 away from their mean.
    np.testing.assert_allclose(found.errors, [5])


@pytest.mark.parametrize(("vectors", "codes"), [(3, 1), (8, 2), (11, 2), (40, 10), (80, 16)])
def test_there_is_at_most_one_code_for_four_vectors(vectors: int, codes: int) -> None:
    random = np.random.default_rng(0).normal(size=(vectors, 3)).astype(np.float32)
    found = residual_kmeans(random, levels=2, codes=16, seed=0)
    assert [sorted(set(level)) for level in found.codes.T.tolist()] == [list(range(codes))] * 2


def test_equal_vectors_have_equal_codes_without_a_warning() -> None:
    vectors = np.repeat(np.array([[1, 0], [0, 1]], dtype=np.float32), 8, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = residual_kmeans(vectors, levels=2, codes=4, seed=0)
    assert found.codes.tolist() == [[0, 0]] * 8 + [[1, 0]] * 8


def test_another_seed_gives_other_codes() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    one, same, other = (residual_kmeans(vectors, 2, 16, seed).codes.tolist() for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_the_number_of_threads_changes_nothing() -> None:
    # Several chunks of rows, which k-means gives to several threads.
    vectors = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            results.append(residual_kmeans(vectors, levels=2, codes=32, seed=0))
    assert np.array_equal(results[0].codes, results[1].codes)
    assert results[0].errors.tolist() == results[1].errors.tolist()
